"""What ``ninep serve`` does, for programs too: from options to exports (``exports``), and to a
server (``config``, ``build``).

The one floor where drivers, security models, layers, transports and limits meet. What can be chosen
is in a registry and every option is a row: nothing here names a driver, a model or a layer.
"""
