"""The libraries by which Gozargah and PasarGuard panels drive their nodes, for a test that says what to do.

Each line of standard input is a JSON object with "do" and what that needs; each is answered with a line of standard
output: {"ok": ...}, or {"error": {"code": ..., "detail": ...}} as the library tells its panel.
"""

import argparse
import asyncio
import importlib
import inspect
import json
import logging
import sys
from contextlib import asynccontextmanager

from google.protobuf.json_format import MessageToDict

LIBRARIES = {
    "sessions": "GozargahNodeBridge",
    "gozargah": "GozargahNodeBridge",
    "pasarguard": "PasarGuardNodeBridge",
}

# What libraries tell of themselves and of their node without asking it.
KNOWN = [
    "connected",
    "core_version",
    "full_sync_in_progress",
    "get_extra",
    "get_health",
    "get_lifecycle_state",
    "get_versions",
    "is_shutting_down",
    "node_version",
    "requires_hard_reset",
]

# Public methods that no panel has to call for its node: nothing of theirs goes over the wire.
WITHIN = {
    # What start and stop do with the library's own state.
    "connect",
    "disconnect",
    "set_health",
    "update_observed_lifecycle",
    # They empty the library's own queues.
    "flush_logs_queue",
    "flush_pending_users",
    "flush_user_queue",
    # The steps of sync_users_from_source, and what update_user wakes.
    "capture_queued_work",
    "full_sync_fence",
    "retire_queued_work",
    "wake_sync_worker",
}


class Noted:
    """A node of a library. It notes what the panel takes of it; what the library does by itself does not count."""

    def __init__(self, node):
        self.node = node
        self.taken = set()

    def __getattr__(self, name):
        value = getattr(self.node, name)
        self.taken.add(name)
        return value

    def untouched(self):
        public = {name for name in dir(type(self.node)) if not name.startswith("_")}
        return sorted(public - self.taken - WITHIN)


def failed(users):
    """The users whom the node did not accept, by name."""
    return {"failed": [user.email for user in users]}


def told(message, kind=None):
    """A message as JSON; the library answers None where there is nothing to say, and the first one some as bytes."""
    if message is None:
        return None
    if isinstance(message, bytes):
        message = kind.FromString(message)
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


class Panel:
    def __init__(self, arguments):
        self.bridge = importlib.import_module(LIBRARIES[arguments.library])
        self.service = importlib.import_module(LIBRARIES[arguments.library] + ".common.service_pb2")
        self.has_sessions = arguments.library == "sessions"
        self.has_hysteria = arguments.library == "pasarguard"

        def text(path):
            with open(path, encoding="utf-8") as file:
                return file.read()

        if self.has_sessions:
            shown = {
                "client_cert": text(arguments.client_cert),
                "client_key": text(arguments.client_key),
            }
        else:
            shown = {"api_key": arguments.key}
        if arguments.library == "pasarguard":
            shown["api_port"] = arguments.port
        node = self.bridge.create_node(
            self.bridge.NodeType[arguments.transport],
            address=arguments.host,
            port=arguments.port,
            server_ca=text(arguments.ca),
            extra={},
            **shown,
        )
        self.node = Noted(node)
        self.lines_read = []
        self.more_lines = asyncio.Condition()

    def user(self, said):
        if not said["id"]:
            return self.bridge.create_user(said["email"], self.service.Proxy(), said["inbounds"])
        more = {"hysteria_auth": said.get("hysteria", "")} if self.has_hysteria else {}
        proxy = self.bridge.create_proxy(
            vmess_id=said["id"],
            vless_id=said["id"],
            vless_flow=said.get("flow", ""),
            trojan_password=said["password"],
            shadowsocks_password=said["password"],
            shadowsocks_method=said["method"],
            **more,
        )
        return self.bridge.create_user(said["email"], proxy, said["inbounds"])

    def users(self, said):
        return [self.user(user) for user in said["users"]]

    async def start(self, said):
        more = {name: said[name] for name in ["exclude_inbounds"] if name in said}
        answer = await self.node.start(
            config=json.dumps(said["config"]),
            backend_type=self.service.BackendType.XRAY,
            users=self.users(said),
            keep_alive=said.get("keep_alive", 0),
            timeout=20,
            **more,
        )
        return told(answer)

    async def info(self, _):
        return told(await self.node.info(), self.service.BaseInfoResponse)

    async def update(self, said):
        """Users go through the library's own queue, as in a panel."""
        for user in self.users(said):
            await self.node.update_user(user)

    async def update_all(self, said):
        """The same with all of them at once."""
        await self.node.update_users(self.users(said))

    async def chunked(self, said):
        size = said.get("chunk_size", 100)
        users = self.users(said)
        return failed(await self.node.sync_users_chunked(users, chunk_size=size, timeout=30))

    async def chunked_late(self, said):
        """One chunk over gRPC, and the end of the stream some time after it."""
        chunk = self.service.UsersChunk(users=self.users(said), index=0, last=True)
        try:
            opened = self.node._client.SyncUsersChunked.open(metadata=self.node._metadata)
            async with opened as stream:
                await stream.send_message(chunk)
                await asyncio.sleep(said["pause"])
                await stream.end()
                await asyncio.wait_for(stream.recv_message(), 20)
        except Exception as error:
            raise self.bridge.NodeAPIError(-1, repr(error)) from error

    async def each(self, said):
        """One by one, as the library does it for a node that knows no chunks."""
        return failed(await self.node._sync_batch_users(self.users(said)))

    async def replace(self, said):
        return told(await self.node.sync_users(self.users(said)))

    async def replace_from_source(self, said):
        """The same as soon as the library's queue has nothing on its way."""
        async def load():
            return self.users(said)

        await self.node.sync_users_from_source(load)

    async def stats(self, said):
        if self.has_sessions:
            return told(await self.stats_of_kind(said))
        kind = self.service.StatType.Value(said["kind"])
        return told(
            await self.node.get_stats(stat_type=kind, reset=said["reset"], name=said["name"])
        )

    def stats_of_kind(self, said):
        """A method for each kind."""
        reset, name = said["reset"], said["name"]
        match said["kind"]:
            case "UserStat":
                return self.node.get_user_stats(name, reset=reset)
            case "UsersStat":
                return self.node.get_users_stats(reset=reset)
            case "Outbounds":
                return self.node.get_outbounds_stats(reset=reset)
            case "Outbound":
                return self.node.get_outbound_stats(name, reset=reset)
            case "Inbounds":
                return self.node.get_inbounds_stats(reset=reset)
            case "Inbound":
                return self.node.get_inbound_stats(name, reset=reset)

    async def online(self, said):
        return told(await self.node.get_user_online_stats(email=said["email"]))

    async def online_ips(self, said):
        return told(await self.node.get_user_online_ip_list(email=said["email"]))

    async def latencies(self, said):
        return told(await self.node.get_outbounds_latency(name=said["name"]))

    async def backend(self, _):
        return told(await self.node.get_backend_stats(), self.service.BackendStatsResponse)

    async def system(self, _):
        return told(await self.node.get_system_stats(), self.service.SystemStatsResponse)

    async def reachable(self, _):
        """Whether the service answers that updates a node."""
        return await self.node.check_connectivity()

    async def call(self, said):
        """A method by its name, of those that a node refuses."""
        return told(await getattr(self.node, said["name"])(**said["arguments"]))

    async def known(self, _):
        """What the library knows, by the name of the method; the first one has properties, which are to be awaited."""
        known = {}
        for name in KNOWN:
            value = getattr(self.node, name, None)
            value = value() if callable(value) else value
            known[name] = await value if inspect.isawaitable(value) else value
        return json.loads(json.dumps(known, default=str))

    async def untouched(self, _):
        """Public methods of the library's node that this panel has not called."""
        return self.node.untouched()

    async def follow(self, _):
        """Reads the core's log from now on."""
        opened = asyncio.get_running_loop().create_future()
        self.follower = asyncio.create_task(self.read_logs(opened))
        await opened

    @asynccontextmanager
    async def log_queue(self):
        """Gozargah's libraries fill a queue from the start on, the others have one for each who reads."""
        if self.bridge.__name__ == "GozargahNodeBridge":
            yield await self.node.get_logs()
            return
        async with self.node.stream_logs(max_queue_size=100_000) as queue:
            yield queue

    async def read_logs(self, opened):
        try:
            async with self.log_queue() as queue:
                opened.set_result(None)
                while True:
                    item = await queue.get()
                    async with self.more_lines:
                        self.lines_read.append(item)
                        self.more_lines.notify_all()
        except Exception as error:
            if not opened.done():
                opened.set_exception(error)
            raise

    async def lines(self, said):
        """The lines read since the last time, as soon as one has the text "until" in it."""
        def has_come():
            return any(said["until"] in str(line) for line in self.lines_read)

        async with self.more_lines:
            await asyncio.wait_for(self.more_lines.wait_for(has_come), 40)
            lines, self.lines_read = self.lines_read, []
        # The library puts its errors among the lines.
        return [str(line) for line in lines]

    async def stop(self, _):
        await self.node.stop()

    async def do(self, said):
        try:
            return {"ok": await getattr(self, said["do"])(said)}
        except self.bridge.NodeAPIError as error:
            return {"error": {"code": int(error.code), "detail": str(error.detail)}}
        except TimeoutError:
            return {"error": {"code": -1, "detail": "it did not come in time"}}


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", choices=LIBRARIES)
    parser.add_argument("--transport", choices=["grpc", "rest"])
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--ca")
    parser.add_argument("--key")
    parser.add_argument("--client-cert")
    parser.add_argument("--client-key")
    panel = Panel(parser.parse_args())
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await panel.do(json.loads(line))), flush=True)


logging.basicConfig(stream=sys.stderr, level=logging.INFO)
asyncio.run(main())
