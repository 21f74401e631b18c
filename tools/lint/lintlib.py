"""What layering, house and tidy share: which files to look at, C++ with its
comments or strings blanked out, NOLINT, and how a finding is printed."""

import argparse
import os
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass

SAMPLES = "tools/lint/samples"
CXX_SUFFIXES = (".h", ".cc", ".c")
# Only for a tree without .git: what .gitignore would have left out.
GENERATED = {"build", ".git", "__pycache__"}


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: [{self.rule}] {self.message}"


def project_root():
    return pathlib.Path(__file__).resolve().parents[2]


def list_files(root):
    """Paths relative to `root`: tracked, and untracked but not ignored."""
    paths = _git_files(root) if (root / ".git").exists() else None
    if paths is None:
        paths = _walk(root)
    return sorted(
        p for p in paths
        if not p.startswith(SAMPLES + "/") and (root / p).is_file()
        and not (root / p).is_symlink())


def _git_files(root):
    # safe.directory: `sudo tools/test` runs in a checkout that root does not own.
    command = ["git", "-c", "safe.directory=*", "-C", str(root), "ls-files",
               "-co", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return {p for p in done.stdout.decode().split("\0") if p}


def _walk(root):
    paths = set()
    for folder, names, files in os.walk(root):
        names[:] = [n for n in names if n not in GENERATED]
        base = os.path.relpath(folder, root)
        paths.update(os.path.normpath(os.path.join(base, f)) for f in files)
    return paths


# One alternative per lexical element that may contain the others' delimiters.
_ELEMENT = re.compile(
    r"""(?P<comment>//(?:\\\n|[^\n])*|/\*.*?\*/)
      | (?P<raw>\bR"(?P<delim>[^()\\\s]{0,16})\(.*?\)(?P=delim)")
      | (?P<string>"(?:\\.|[^"\\\n])*")
      | (?P<char>(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+')""",
    re.DOTALL | re.VERBOSE)


def blank(text):
    return re.sub(r"[^\n]", " ", text)


class Source:
    """One C or C++ file. Line numbers are the same in all three texts."""

    def __init__(self, root, path):
        self.path = path
        self.text = (root / path).read_text(encoding="utf-8", errors="replace")
        self.lines = self.text.split("\n")
        self._no_comments = None
        self._code = None

    @property
    def no_comments(self):
        if self._no_comments is None:
            self._no_comments = _ELEMENT.sub(
                lambda m: blank(m[0]) if m["comment"] else m[0], self.text)
        return self._no_comments

    @property
    def code(self):
        """Neither comments nor the insides of literals; #include stays."""
        if self._code is None:
            self._code = _ELEMENT.sub(self._without_literal, self.text)
        return self._code

    def _without_literal(self, match):
        start = self.text.rfind("\n", 0, match.start()) + 1
        before = self.text[start:match.start()]
        if match["string"] and re.match(r"\s*#\s*include\s*$", before):
            return match[0]
        return blank(match[0])

    def line_of(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def includes(self):
        """(line, spelling with its quotes or brackets) of each #include."""
        for number, line in enumerate(self.code.split("\n"), 1):
            match = re.match(r'\s*#\s*include\s*(<[^>]+>|"[^"]+")', line)
            if match:
                yield number, match[1]

    def matches(self, pattern, text=None):
        """(line, match) for each hit of `pattern` in the code."""
        for match in re.finditer(pattern, self.code if text is None else text):
            yield self.line_of(match.start()), match


_NOLINT = re.compile(
    r"\bNOLINT(?P<next>NEXTLINE)?(?:\((?P<rules>[^)]*)\))?:?(?P<reason>[^\n]*)")


def nolint_reason(match):
    return re.sub(r"\*/.*", "", match["reason"]).strip(" :.-")


def is_excused(source, rule, line):
    """True if `line`, or a NOLINTNEXTLINE above it, names `rule` (or no rule at
    all) and gives a reason."""
    for number, wants_next in ((line, False), (line - 1, True)):
        if not 1 <= number <= len(source.lines):
            continue
        match = _NOLINT.search(source.lines[number - 1])
        if not match or bool(match["next"]) != wants_next:
            continue
        rules = match["rules"]
        named = rules is None or rule in [
            r.strip().removeprefix("fl-") for r in rules.split(",")]
        if named and nolint_reason(match):
            return True
    return False


def unexplained_nolints(source):
    for number, line in enumerate(source.lines, 1):
        match = _NOLINT.search(line)
        if match and not nolint_reason(match):
            yield number


def findings(root, check):
    """`check(root, path)` of every file, sorted."""
    return sorted({f for path in list_files(root) for f in check(root, path)})


def main(rules, check):
    """The command line of a tool. `rules`: name -> what it protects."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--root", type=pathlib.Path, default=project_root(),
                        help="the tree to look at (default: this one)")
    parser.add_argument("--list", action="store_true",
                        help="print the rules and leave")
    options = parser.parse_args()
    if options.list:
        for name, why in rules.items():
            print(f"{name:18} {why}")
        return 0
    found = findings(options.root.resolve(), check)
    for finding in found:
        print(finding)
    if found:
        print(f"{os.path.basename(sys.argv[0])}: {len(found)} findings; the rules: "
              "docs/STYLE.md", file=sys.stderr)
    return 1 if found else 0
