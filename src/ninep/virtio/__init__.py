"""Virtio devices whose driver runs in a guest, and whose other side is a process of its own: the
split virtqueue, the vhost-user protocol, the guest's memory.

``ring`` is the device's side of a virtqueue, ``inflight`` what it keeps of requests for its next
start. ``messages`` are those of vhost-user, ``memory`` is the guest's, ``device`` answers one front
end; ``rings`` start and stop, each a ``vring``. Nothing here opens a socket or knows what the
buffers carry; ``transport`` uses it.
"""
