"""Where bytes come from: ``addresses`` (how they are written), ``stream`` (asyncio transports under a connection), ``listeners``."""
