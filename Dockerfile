FROM python:3.13-slim

RUN useradd --uid 10001 --no-create-home candlekeep && install -d -o candlekeep /data
WORKDIR /srv
# What changes seldom first: a new version of the code installs no library again.
COPY requirements.txt .
RUN grep -v '^-e' requirements.txt > /tmp/libraries.txt \
    && pip install --no-cache-dir --disable-pip-version-check -r /tmp/libraries.txt
COPY . .
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps -e .

USER candlekeep
# gunicorn's heartbeat is a file; /dev/shm is there even where the root file system is read-only.
ENV DATA_DIR=/data HOST=0.0.0.0 PORT=5000 \
    GUNICORN_CMD_ARGS="--worker-tmp-dir /dev/shm" \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 5000
# http.client, because urllib would ask a proxy that Docker puts into the environment.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD \
    ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); c.request('GET', '/livez'); sys.exit(c.getresponse().status != 200)"]
CMD ["candlekeep", "run"]
