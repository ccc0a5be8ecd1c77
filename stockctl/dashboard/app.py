"""The HTTP application: the page, its files, and the API."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from stockctl import __version__
from stockctl.dashboard.access import PROBLEMS, protect
from stockctl.dashboard.live.hub import Hub
from stockctl.dashboard.routes import api
from stockctl.dashboard.routes_company import company_routes
from stockctl.settings import Settings

STATIC = Path(str(files("stockctl.dashboard"))) / "static"


def create_app(settings: Settings, hub: Hub | None = None) -> FastAPI:
    """The application of ``settings``. ``hub`` is kept up to date by the caller; without one, nothing is live."""
    app = FastAPI(title="stockctl dashboard", version=__version__, docs_url=None, redoc_url=None, responses=PROBLEMS)
    protect(app, settings.dashboard)
    app.include_router(api(settings, hub or Hub(settings)))
    app.include_router(company_routes(settings))

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
