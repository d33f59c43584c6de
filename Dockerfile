# The gateway with all optional packages. The file system may be read-only but for /data and /tmp.
# A version of Python on which the tests run. Name a digest (--build-arg PYTHON=3.13-slim-trixie@sha256:...)
# to have the same base each time; what is installed on it is the same by its hashes.
ARG PYTHON=3.13-slim-trixie

# Wheels only: nothing is compiled. The venv has no pip, which nobody needs there.
FROM python:${PYTHON} AS packages
WORKDIR /gateway
COPY requirements.lock requirements-cluster.lock ./
RUN python -m venv --without-pip venv \
    && pip --python venv/bin/python install --no-cache-dir --disable-pip-version-check \
       --require-hashes --only-binary :all: -r requirements.lock -r requirements-cluster.lock

FROM packages AS demo-packages
COPY deploy/s3.lock ./
RUN pip --python venv/bin/python install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: -r s3.lock

FROM python:${PYTHON} AS base
WORKDIR /gateway
ENV PATH=/gateway/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN groupadd --gid 10001 gateway \
    && useradd --uid 10001 --gid gateway --no-log-init --no-create-home --shell /usr/sbin/nologin gateway

# Stand-ins for ComfyUI and for S3, to try a whole cluster: see compose.cluster.yaml.
FROM base AS demo
COPY --from=demo-packages /gateway/venv venv
COPY app app
COPY fake_comfyui fake_comfyui
RUN python -m compileall -q app fake_comfyui \
    && chmod -R a+rX app fake_comfyui \
    && install -d -o 10001 -g 10001 /data /data/results
USER 10001:10001
VOLUME /data
EXPOSE 8188 9000
HEALTHCHECK NONE
CMD ["python", "-m", "fake_comfyui", "--host", "0.0.0.0", "--preview-method", "auto"]

FROM base AS gateway
COPY --from=packages /gateway/venv venv
COPY app app
COPY fake_comfyui fake_comfyui
COPY static static
COPY LICENSE start.py ./
COPY --chown=10001:10001 workflows /data/workflows
RUN python -m compileall -q app fake_comfyui start.py \
    && chmod -R a+rX app fake_comfyui static start.py \
    && install -d -o 10001 -g 10001 /data
ENV COMFYUI_HOST=0.0.0.0 \
    COMFYUI_PORT=8000
USER 10001:10001
VOLUME /data
# Relative paths are meant from here: all that is kept is in /data.
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['COMFYUI_PORT'] + '/api/health', timeout=4)"]
ENTRYPOINT ["python", "/gateway/start.py"]
