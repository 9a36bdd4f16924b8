FROM python:3.13-slim

RUN useradd --uid 10001 --no-create-home candlekeep && install -d -o candlekeep /data
WORKDIR /srv
COPY . .
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt

USER candlekeep
ENV DATA_DIR=/data HOST=0.0.0.0 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/livez', timeout=2)"]
CMD ["flask", "run"]
