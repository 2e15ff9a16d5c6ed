"""What is different under Wine, and which tests show it. A test in this list must fail there, else
the list is wrong.
"""

import ctypes
import os
import sys
from typing import NamedTuple


class Difference(NamedTuple):
    """``tests``: of the contract by their names, of the drivers' acceptance suite with their class.

    ``on``: ``wine`` (on the Linux filesystem below) and ``wine+ntfs`` (on an NTFS image with
    ``file:stream`` names). Not ``always``: it depends on what Linux has in its caches.
    """

    reason: str
    tests: frozenset[str]
    on: frozenset[str] = frozenset({"wine", "wine+ntfs"})
    always: bool = True


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
        frozenset({"test_a_directory_below_which_a_file_is_open", "TestRename::test_a_directory_with_all_below"}),
    ),
    Difference(
        "names have no lone surrogates",
        frozenset(
            {
                "test_names_that_are_no_text",
                "TestOddNames::test_not_utf8",
                "TestOddNames::test_all_together",
                "TestOddNames::test_text[private use]",
            }
        ),
    ),
    Difference(
        "streams are not listed (FileStreamInformation)",
        frozenset(
            {
                "test_the_list",
                "TestXattr::test_all_that_is_listed_can_be_read",
                "TestXattr::test_create_and_replace",
                "TestXattr::test_namespaces_that_are_not_served",
                "TestXattr::test_several",
                "TestXattr::test_they_go_with_the_file",
                "TestXattr::test_values",
                "TestAcl::test_acls",
            }
        ),
    ),
    Difference(
        "a name that is marked for deletion counts as a link",
        frozenset(
            {
                "TestDeletedFile::test_everything_goes_on_without_a_name",
                "TestDeletedFile::test_a_file_that_is_not_even_open",
                "TestDeletedFile::test_a_replaced_file_goes_on",
                "TestHardLink::test_either_name_may_go",
            }
        ),
    ),
    Difference(
        "a handle remembers the path that it was opened by, and opening its object again opens that path",
        frozenset({"TestDeletedFile::test_a_renamed_file_goes_on"}),
    ),
    Difference(
        "what is asked of a removed directory is refused with other codes",
        frozenset(
            {
                "TestCreate::test_in_a_deleted_directory",
                "TestMkdir::test_in_a_deleted_directory",
                "TestSystemMappedFile::TestRename::test_to_a_deleted_directory",
            }
        ),
    ),
    Difference("a handle for reading can cut the file", frozenset({"TestOpen::test_access_is_what_was_asked_for"})),
    Difference(
        "ChangeTime cannot be set",
        frozenset({"TestTime::test_changing_attributes_moves_ctime_but_not_mtime"}),
    ),
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
                "TestListing::test_nothing_but_what_was_made",
                "TestXattr::test_a_large_value",
                "TestXattr::test_they_do_not_change_the_content",
                "TestXattr::test_they_go_on_without_a_name",
            }
        ),
        frozenset({"wine"}),
    ),
    Difference(
        "times before 1901 are cut by the filesystem below",
        frozenset({"test_times_to_100_ns_and_before_1970[system--11000000000000000000]"}),
        frozenset({"wine"}),
    ),
    Difference(
        "a time in the last second before 1970 is 1970",
        frozenset({"TestTime::test_a_moment[-1]"}),
        frozenset({"wine+ntfs"}),
    ),
    Difference(
        "a stream's name is the file's and its own, and not longer than a file's name on Linux",
        frozenset({"TestSystemMappedXattr::TestOddNames::test_the_longest_name"}),
        frozenset({"wine+ntfs"}),
    ),
    Difference(
        "Linux keeps what it read of a stream, under the name that the file had (ntfs-3g's kernel_cache)",
        frozenset(
            {
                "TestSystemMappedXattr::TestRename::test_over_a_file",
                "TestSystemMappedXattr::TestHardLink::test_two_names_of_one_file",
            }
        ),
        frozenset({"wine+ntfs"}),
        always=False,
    ),
]


# Tests that would take minutes: Wine finds a name by listing the directory, and a directory by the
# path from the root of Linux.
SLOW = frozenset(
    {
        "TestLife::test_nothing_is_used_up_by_opening",
        "TestLife::test_nothing_is_used_up_by_walking",
        "TestListing::test_a_large_directory_in_answers_of_any_size[40]",
        "TestListing::test_a_large_directory_in_answers_of_any_size[100]",
        "TestListing::test_a_large_directory_in_answers_of_any_size[8168]",
        "TestListing::test_a_large_directory_in_answers_of_any_size[131072]",
        "TestMkdir::test_deep",
        "TestStability::test_creating_deleting_and_renaming_while_reading[1]",
        "TestStability::test_creating_deleting_and_renaming_while_reading[2]",
        "TestStability::test_deleting_what_was_read",
    }
)


def names_of(nodeid: str) -> set[str]:
    """How the lists here call a test: ``test``, ``TestPart::test``, ``TestWhole::TestPart::test``,
    with or without its parameters.
    """
    words = nodeid.split("::")[1:]
    whole = {"::".join(words[at:]) for at in range(len(words))}
    return whole | {name.partition("[")[0] for name in whole}


def wine_kind() -> str:
    """``wine`` or ``wine+ntfs`` when running under Wine, else an empty string."""
    if sys.platform != "win32" or not hasattr(ctypes.WinDLL("ntdll"), "wine_get_version"):
        return ""
    return "wine+ntfs" if os.environ.get("NINEP_WINDOWS_DIR") else "wine"
