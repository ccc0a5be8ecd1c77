# stockctl: `docker build -f images/stockctl.Dockerfile -t stockctl:0.1.0 .` in the checkout.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY stockctl ./stockctl
COPY manifests ./manifests
COPY sql ./sql
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel . \
    && python -m venv /opt/stockctl \
    && /opt/stockctl/bin/pip install --no-cache-dir "$(echo /wheel/stockctl-*.whl)[dashboard]" \
    && /opt/stockctl/bin/stockctl --version

FROM python:3.13-slim
COPY --from=build /opt/stockctl /opt/stockctl
# The root file system may be read-only: stockctl writes below /tmp and /var/lib/stockctl only.
ENV PATH=/opt/stockctl/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/stockctl
ENTRYPOINT ["stockctl"]
