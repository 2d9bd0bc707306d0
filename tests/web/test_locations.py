"""`Location` and `Content-Location` behind a proxy that gives the service a path of its own."""

from __future__ import annotations

from urllib.parse import urljoin

from tests.databases import Database
from tests.web.test_whole_path import WORK, service

PUBLIC_URL = "https://example.com/jobs"


async def test_they_lead_to_where_callers_reach_the_service(database: Database) -> None:
    """They were `/v1/...` whatever the path, and so led past the service."""
    async with service(database, public_url=PUBLIC_URL) as here:
        made = await here.call("POST", "/v1/jobs", json=WORK)
        links = made.json["links"]
        assert urljoin(links["self"], made.headers["Location"]) == links["self"]
        assert links["self"] == f"{PUBLIC_URL}/v1/jobs/{made.json['id']}"
        await here.delivered(made.json["id"])

        again = await here.call("POST", f"/v1/jobs/{made.json['id']}/replay")
        assert again.headers["Location"] == f"/jobs/v1/jobs/{again.json['id']}"

        held = await here.call("POST", "/v1/jobs", json=WORK, headers={"Prefer": "wait=10"})
        assert held.headers["Content-Location"] == f"/jobs/v1/jobs/{held.json['id']}"

        (delivery,) = (await here.call("GET", f"/v1/jobs/{made.json['id']}/deliveries")).json[
            "items"
        ]
        anew = await here.call("POST", f"/v1/deliveries/{delivery['id']}/redeliver")
        assert anew.headers["Location"] == f"/jobs/v1/deliveries/{delivery['id']}"

        endpoint = await here.call("POST", "/v1/endpoints", json={"url": "https://hooks.example/"})
        where = f"/v1/endpoints/{endpoint.json['id']}"
        assert endpoint.headers["Location"] == f"/jobs{where}"
        ping = await here.call("POST", f"{where}/ping")
        assert ping.headers["Location"] == f"/jobs/v1/deliveries/{ping.json['id']}"
