"""What is different under Wine, and which tests show it. A test in this list must fail there, else the list is wrong."""

import ctypes
import os
import sys
from typing import NamedTuple


class Difference(NamedTuple):
    """``on``: ``wine`` (on the Linux filesystem below) and ``wine+ntfs`` (on an NTFS image with ``file:stream`` names)."""

    reason: str
    tests: frozenset[str]
    on: frozenset[str] = frozenset({"wine", "wine+ntfs"})


DIFFERENCES = [
    Difference(
        "no reparse points can be made", frozenset({"test_links_fifos_and_sockets_are_made", "test_a_reparse_point"})
    ),
    Difference(
        "the read-only attribute is the Unix write bits, which do not bind root",
        frozenset({"test_a_read_only_file_does_not_open_for_writing"}),
    ),
    Difference(
        "a directory below which something is open can be renamed",
        frozenset({"test_a_directory_below_which_a_file_is_open"}),
    ),
    Difference("a rename to another case of the same name does nothing", frozenset({"test_to_another_case"})),
    Difference("names have no lone surrogates", frozenset({"test_names_that_are_no_text"})),
    Difference("streams are not listed (FileStreamInformation)", frozenset({"test_the_list"})),
    Difference(
        "no named streams on a filesystem of Linux: a file with a colon in its name instead",
        frozenset(
            {
                "test_a_stream_is_shared",
                "test_directories_have_attributes_too",
                "test_names_that_differ_in_case_are_two_attributes",
                "test_odd_names",
                "test_set_get_replace_remove",
                "test_the_flags_are_the_opens_own",
                "test_the_modification_time_stays",
                "test_the_streams_have_the_hypervisors_names",
                "test_through_an_open_file",
                "test_truncation_keeps_the_streams",
                "test_volume",
            }
        ),
        frozenset({"wine"}),
    ),
    Difference(
        "times before 1901 are cut by the filesystem below",
        frozenset({"test_times_to_100_ns_and_before_1970[system--11000000000000000000]"}),
        frozenset({"wine"}),
    ),
]


def wine_kind() -> str:
    """``wine`` or ``wine+ntfs`` when running under Wine, else an empty string."""
    if sys.platform != "win32" or not hasattr(ctypes.WinDLL("ntdll"), "wine_get_version"):
        return ""
    return "wine+ntfs" if os.environ.get("NINEP_WINDOWS_DIR") else "wine"
