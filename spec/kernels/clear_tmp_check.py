"""Checks of kernels/python/macros/clear_tmp.py and tmp_folders.py. Run by clear_tmp_spec.lua; alone: python3 -B …"""
import os
import sys
import tempfile

from fake_backend import ROOT, run_checks

sys.path[:0] = [os.path.join(ROOT, "kernels/python")]
from macros import clear_tmp  # noqa: E402

# Not in a folder that everybody may write: where it lies is no part of what is checked.
TOP = tempfile.TemporaryDirectory()
COUNT = [0]


def folder(*names):
    """A new folder with files of these names."""
    COUNT[0] += 1
    path = os.path.join(TOP.name, str(COUNT[0]))
    os.mkdir(path)
    for name in names:
        os.makedirs(os.path.dirname(os.path.join(path, name)), exist_ok=True)
        with open(os.path.join(path, name), "w", encoding="utf-8") as f:
            f.write("x")
    return path


def refused(path, kept=()):
    answer = clear_tmp.look([path], list(kept))
    assert "refused" in answer, f"{path}: {answer}"
    assert answer["refused"].startswith(path), answer["refused"]
    return answer["refused"]


def names(answer):
    assert "rows" in answer, answer
    return sorted("/".join(row["words"]) for row in answer["rows"])


def it_takes_no_system_folder():
    """the root, the system's folders and those that hold what belongs to several are refused, however they are written"""
    for path in ("/", "//", "/etc", "/etc/", "/tmp/../etc", "/usr/share", "/var/lib", "/proc/1", "/dev", "/sys/kernel", "/proc/self/root/etc"):
        assert "is the system's" in refused(path) or path in ("/", "//"), path
    assert "belongs to others" in refused("/")
    assert "belongs to others" in refused("/var") and "belongs to others" in refused("/tmp/../var/.")
    assert "(which is /etc)" in refused("/tmp/../etc")


def it_takes_no_folder_of_the_instance():
    """nothing of the instance is taken for a temporary file: by its path, by .., through a link, and from a folder above it"""
    top = folder("dss/db/x", "dss/projects/P/a", "other/dss/x", "own/a")
    kept = [top + "/dss", top + "/other/dss"]
    for path in ("/dss", "/dss/db", "/dss/projects/P", "/own/../dss/db", "/dss/../dss", "/other/dss"):
        assert "is part of this instance" in refused(top + path, kept), path
    os.symlink(top + "/dss", top + "/way")
    assert "is part of this instance" in refused(top + "/way/projects", kept)
    assert "is a link" in refused(top + "/way", kept)
    assert names(clear_tmp.look([top], kept)) == ["own/a"]
    said = clear_tmp.remove([{"folder": top, "words": ["dss", "db", "x"], "key": []}, {"folder": top + "/dss", "words": ["db", "x"], "key": []}], kept)
    assert "instance's" in said[0] and "is part of this instance" in said[1], said
    assert os.path.exists(top + "/dss/db/x")


def it_knows_a_folder_that_was_moved():
    """what was put in the place of a folder after the look is judged again"""
    top = folder("dss/a", "tmp/a")
    row = clear_tmp.look([top + "/tmp"], [top + "/dss"])["rows"][0]
    os.rename(top + "/tmp", top + "/away")
    os.rename(top + "/dss", top + "/tmp")
    kept = [top + "/tmp"]
    assert "is part of this instance" in clear_tmp.remove([row], kept)[0]
    assert os.path.exists(top + "/tmp/a") and os.path.exists(top + "/away/a")


def it_takes_no_home():
    """the home of who runs it is refused, and what holds it; a folder in it is not"""
    import pwd
    import types
    from macros import tmp_folders
    top = folder("home/ann/tmp/a")
    was = tmp_folders.pwd
    tmp_folders.pwd = types.SimpleNamespace(getpwuid=lambda uid: pwd.struct_passwd(("ann", "x", uid, uid, "", top + "/home/ann", "/bin/sh")))
    try:
        assert "home of the run user" in refused(top + "/home/ann") and "home of the run user" in refused(top + "/home")
        assert names(clear_tmp.look([top + "/home/ann/tmp"], [])) == ["a"]
    finally:
        tmp_folders.pwd = was


def it_says_what_is_not_there():
    """a folder that is not there is told; the others are looked at; one that is refused stops all"""
    top = folder("a")
    answer = clear_tmp.look([top + "/nowhere", top], [])
    assert names(answer) == ["a"] and answer["missing"] == [top + "/nowhere: No such file or directory"], answer
    assert "refused" in clear_tmp.look([top, "/etc"], [])


def it_keeps_what_was_touched_meanwhile():
    """what was read, renamed, linked or written after the look is young again: it stays"""
    top = folder("read", "written", "linked", "same")
    rows = {row["words"][0]: row for row in clear_tmp.look([top], [])["rows"]}
    os.utime(top + "/read", ns=(os.stat(top + "/read").st_atime_ns + 10 ** 9, os.stat(top + "/read").st_mtime_ns))
    with open(top + "/written", "a", encoding="utf-8") as f:
        f.write("y")
    os.link(top + "/linked", top + "/other")
    said = {name: clear_tmp.remove([rows[name]], [])[0] for name in rows}
    changed = "it was read or has changed meanwhile"
    assert said == {"read": changed, "written": changed, "linked": changed, "same": ""}, said


def it_keeps_open_files():
    """a file that a process has open stays, as do a link, a pipe, and a folder that a process stands in"""
    top = folder("open", "kept/x")
    os.mkfifo(top + "/pipe")
    os.symlink(top + "/kept/x", top + "/link")
    os.mkdir(top + "/here")
    with open(top + "/open", encoding="utf-8"):
        os.chdir(top + "/here")
        try:
            rows = clear_tmp.look([top], [])["rows"]
            assert {"/".join(row["words"]): row["open"] for row in rows} == {"open": True, "here": True, "kept/x": False}, rows
            said = clear_tmp.remove(rows, [])
            assert sorted(said) == ["", "a process has it open", "a process stands in it"], said
        finally:
            os.chdir("/")
    assert sorted(os.listdir(top)) == ["here", "kept", "link", "open", "pipe"]


run_checks(globals(), lambda: "")
