"""Object stores as folders. ``docs/object-stores.md`` has the rules.

* ``store`` says what is asked of a store, ``s3`` asks it of S3.
* A node is an object (or a prefix, a directory), shared by all fids that hold it: ``node``; those
  that are held, and the listings, are in ``tree``.
* A file that is written is a local copy (``spool``) until it is put whole, at fsync and when it is
  closed: ``content``. Reads of others are ranges, ahead of the reader: ``ahead``.
* Locks, outer first: of names (``tree.Names``), of one node, of directories that are renamed
  (``moving``), of the tables. No request to the store is made under that of the tables.
"""
