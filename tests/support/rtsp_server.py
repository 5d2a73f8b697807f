"""An RTSP server on loopback, run by the system's Python, which has GStreamer's bindings.

Arguments: port (0 for any), pipeline, user and password (may be empty).  It prints the port first.
"""

from __future__ import annotations

import sys
from typing import Any

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]  # noqa: E402

port, pipeline, user, password = sys.argv[1:5]
Gst.init(None)
server: Any = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
factory: Any = GstRtspServer.RTSPMediaFactory()
factory.set_launch(pipeline)
factory.set_shared("num-buffers" not in pipeline)  # a counted stream begins anew for each reader
if user:
    auth: Any = GstRtspServer.RTSPAuth()
    token: Any = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "reader")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions: Any = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("reader", "media.factory.access", True)
    permissions.add_permission_for_role("reader", "media.factory.construct", True)
    factory.set_permissions(permissions)
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
