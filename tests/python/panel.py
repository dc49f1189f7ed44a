"""A Marzban panel (0.8.4) as a node sees it: the same libraries at the same versions, the same calls, the same timeouts.

It does one act against a node, prints a line for each step, and ends with 1 at the first thing that a panel would
stumble over. Section numbers are those of spec/node-marzban.md.
"""

import argparse
import json
import socket
import ssl
import sys
import tempfile
import time

import grpc
import requests
import websocket
from requests.adapters import HTTPAdapter
from urllib3.poolmanager import PoolManager

SYS_STATS = "/xray.app.stats.command.StatsService/GetSysStats"
QUERY_STATS = "/xray.app.stats.command.StatsService/QueryStats"


class AnyHostAdapter(HTTPAdapter):
    """Verifies the chain, but not the name in the certificate."""

    def init_poolmanager(self, connections, maxsize, block=False, **_):
        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, assert_hostname=False
        )


class NodeError(Exception):
    def __init__(self, status, detail):
        super().__init__(f"{status}: {detail}")
        self.status, self.detail = status, detail


class Panel:
    def __init__(self, arguments):
        self.arguments = arguments
        self.address = (arguments.host, arguments.port)
        self.url = f"https://{arguments.host}:{arguments.port}"
        self.session = requests.Session()
        self.session.mount("https://", AnyHostAdapter())
        self.session.cert = (arguments.cert, arguments.key)
        self.session_id = None
        self.certificate = None
        with open(arguments.config, encoding="utf-8") as file:
            self.config = file.read()

    # 2.1
    def probe(self):
        """A node that answers this with an error would be taken for one of another protocol."""
        with socket.create_connection(self.address, timeout=1) as stream:
            stream.send(b"HEAD / HTTP/1.0\r\n\r\n")
            stream.recv(1024)

    # 2.2
    def fetch_certificate(self):
        self.certificate = ssl.get_server_certificate(self.address)
        file = tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False)
        with file:
            file.write(self.certificate)
        self.session.verify = file.name

    # 2.5
    def post(self, path, timeout, **fields):
        answer = self.session.post(
            self.url + path, timeout=timeout, json={"session_id": self.session_id, **fields}
        )
        body = answer.json()
        if answer.status_code != 200:
            raise NodeError(answer.status_code, body["detail"])
        return body

    def connect(self):
        self.probe()
        self.fetch_certificate()
        self.session_id = self.post("/connect", 3)["session_id"]

    def ping(self):
        self.post("/ping", 3)

    def started(self):
        return self.post("/", 3)["started"]

    # 2.6
    def start(self):
        self.ping()
        try:
            self.post("/start", 10, config=self.config)
        except NodeError as error:
            if error.detail != "Xray is started already":
                raise
            self.post("/restart", 10, config=self.config)
        self.wait_for_api()
        version = self.post("/", 3)["core_version"]
        assert version, "the core's version is unknown"

    def restart(self):
        self.post("/restart", 10, config=self.config)
        self.wait_for_api()

    def disconnect(self):
        self.post("/disconnect", 3)
        self.session_id = None

    # 2.4
    def channel(self):
        return grpc.secure_channel(
            f"{self.arguments.host}:{self.arguments.api_port}",
            grpc.ssl_channel_credentials(root_certificates=self.certificate.encode()),
            options=(("grpc.ssl_target_name_override", "Gozargah"),),
        )

    def wait_for_api(self):
        with self.channel() as channel:
            grpc.channel_ready_future(channel).result(timeout=5)

    def call(self, method, request=b""):
        with self.channel() as channel:
            plain = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
            return plain(request, timeout=5)

    # 2.7
    def is_healthy(self):
        self.ping()
        assert self.started(), "the core is not started"
        stats = self.call(SYS_STATS)
        # Field 1 is the number of goroutines.
        assert stats[:1] == b"\x08" and stats[1] > 0, f"GetSysStats answered {stats!r}"

    # 2.10
    def logs(self):
        return websocket.create_connection(
            f"wss://{self.arguments.host}:{self.arguments.port}/logs?session_id={self.session_id}&interval=0.7",
            timeout=2,
            sslopt={
                "cert_reqs": ssl.CERT_NONE,
                "check_hostname": False,
                "certfile": self.arguments.cert,
                "keyfile": self.arguments.key,
            },
        )


def read_logs(stream, text, seconds=15):
    """Reads until `text` came. A silence of two seconds is an exception that a panel lives with."""
    seen, end = "", time.monotonic() + seconds
    while text not in seen:
        assert time.monotonic() < end, f"{text!r} did not come, this did: {seen!r}"
        try:
            message = stream.recv()
        except websocket.WebSocketTimeoutException:
            continue
        assert isinstance(message, str), f"{message!r} is no text"
        seen += message


def life(panel):
    panel.connect()
    step("connected")
    panel.start()
    step("started")
    for _ in range(5):
        panel.is_healthy()
        time.sleep(0.2)
    step("healthy")
    stream = panel.logs()
    read_logs(stream, " started\n")
    step("logs")
    # The answers' own wire format: field 1 is the pattern, 2 asks for a reset.
    pattern = b"inbound>>>"
    panel.call(QUERY_STATS, b"\x0a" + bytes([len(pattern)]) + pattern + b"\x10\x01")
    step("usage")
    try:
        panel.post("/start", 10, config=panel.config)
        raise AssertionError("a second start was taken")
    except NodeError as error:
        assert (error.status, error.detail) == (503, "Xray is started already"), error
    begin = time.monotonic()
    panel.start()
    step(f"restarted by a start in {time.monotonic() - begin:.2f} s")
    panel.restart()
    read_logs(stream, " started\n")
    panel.is_healthy()
    step("restarted")
    broken = json.loads(panel.config)
    broken["inbounds"] = [{"protocol": "carrier-pigeon"}]
    try:
        panel.post("/restart", 10, config=json.dumps(broken))
        raise AssertionError("a broken configuration was taken")
    except NodeError as error:
        assert error.status == 503 and error.detail.startswith("Failed to start: "), error
    assert not panel.started(), "a core runs behind a failed restart"
    panel.start()
    panel.is_healthy()
    step("started behind a failure")
    # Longer than the original keeps a connection without requests.
    time.sleep(6)
    panel.ping()
    step("kept")
    panel.disconnect()
    ended(stream)
    step("disconnected")


def ended(stream):
    end = time.monotonic() + 5
    while True:
        assert time.monotonic() < end, "the log stream goes on behind the disconnect"
        try:
            # This library tells a close frame by an empty message.
            if stream.recv() == "":
                return
        except websocket.WebSocketTimeoutException:
            continue
        except websocket.WebSocketConnectionClosedException:
            return


def start(panel):
    panel.connect()
    panel.start()
    panel.is_healthy()
    step("started")


def until_replaced(panel):
    start(panel)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            panel.ping()
        except NodeError as error:
            assert (error.status, error.detail) == (403, "Session ID mismatch."), error
            step("replaced")
            return
        time.sleep(0.2)
    raise AssertionError("nobody took over")


def step(text):
    print(text, flush=True)


ACTS = {"life": life, "start": start, "until-replaced": until_replaced}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("act", choices=ACTS)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--api-port", type=int, required=True)
    for name in ("--cert", "--key", "--config"):
        parser.add_argument(name, required=True)
    arguments = parser.parse_args()
    step(f"requests {requests.__version__}, websocket-client {websocket.__version__}, grpcio {grpc.__version__}")
    ACTS[arguments.act](Panel(arguments))


if __name__ == "__main__":
    sys.exit(main())
