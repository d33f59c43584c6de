# The gateway with all optional packages. The file system may be read-only but for /data and /tmp.
FROM python:3.11-slim-bookworm AS packages
WORKDIR /gateway
RUN python -m venv venv
COPY requirements.txt requirements-cluster.txt ./
RUN venv/bin/pip install --no-cache-dir --disable-pip-version-check \
    -r requirements.txt -r requirements-cluster.txt

FROM python:3.11-slim-bookworm AS base
WORKDIR /gateway
ENV PATH=/gateway/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN groupadd --system --gid 10001 gateway \
    && useradd --system --uid 10001 --gid gateway --no-create-home --shell /usr/sbin/nologin gateway
COPY --from=packages /gateway/venv venv
COPY app app
COPY fake_comfyui fake_comfyui

# Stand-ins for ComfyUI and for S3, to try a whole cluster: see compose.yaml.
FROM base AS demo
RUN pip install --no-cache-dir --disable-pip-version-check "nanio>=0.1.7,<0.2" \
    && install -d -o gateway -g gateway /data /data/results
USER 10001:10001
VOLUME /data
EXPOSE 8188 9000
HEALTHCHECK NONE
CMD ["python", "-m", "fake_comfyui", "--host", "0.0.0.0", "--preview-method", "auto"]

FROM base AS gateway
COPY static static
COPY LICENSE start.py ./
COPY --chown=gateway:gateway workflows /data/workflows
RUN python -m compileall -q app start.py \
    && install -d -o gateway -g gateway /data /data/uploads /data/outputs
ENV COMFYUI_HOST=0.0.0.0 \
    COMFYUI_PORT=8000 \
    COMFYUI_DATABASE_URL=sqlite:////data/gateway.db \
    COMFYUI_WORKFLOWS_DIR=/data/workflows \
    COMFYUI_UPLOADS_DIR=/data/uploads \
    COMFYUI_OUTPUTS_DIR=/data/outputs
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['COMFYUI_PORT'] + '/api/health', timeout=4)"]
ENTRYPOINT ["python", "start.py"]
