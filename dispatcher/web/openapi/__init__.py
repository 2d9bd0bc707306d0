"""What the API is, as an OpenAPI document: one module a resource, `document` puts them together.

Whoever adds a route to `web/app.py` describes it in the module of its resource, and lists a new
module in `resources`; a route that nobody described fails a test.
"""
