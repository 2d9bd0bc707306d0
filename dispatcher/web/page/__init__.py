"""The page of `/docs`: an OpenAPI document as HTML, without scripts."""
