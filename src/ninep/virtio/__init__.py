"""Virtio devices whose driver runs in a guest, and whose other side is a process of its own: the
split virtqueue, the vhost-user protocol, the guest's memory.

``ring`` is the device's side of a virtqueue, ``inflight`` what it keeps of requests for its next
start. Nothing here opens a socket or knows what the buffers carry; ``transport`` uses it.
"""
