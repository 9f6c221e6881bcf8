"""The one table of pidsupctl's commands.

Parsing, --help, completions, the manual page and docs/commands.md are made from it.
Only data is here: every call of pidsupctl pays for what this module imports.
"""

from __future__ import annotations

from collections.abc import Sequence


class Argument:
    """An argument that is told by its place.

    *kind* says what it is, for conversion and completion: see arguments.KINDS and
    completion.OFFERS.  *many*: "?", "*", "+", or "..." for all that follows.
    """

    __slots__ = ("choices", "kind", "many", "name", "text")

    def __init__(
        self, name: str, text: str, kind: str = "", many: str = "", choices: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.text = text
        self.kind = kind
        self.many = many
        self.choices = choices


class Option:
    """An argument that is told by its name; a switch if it has neither value nor choices."""

    __slots__ = ("choices", "default", "flags", "kind", "text", "value")

    def __init__(  # noqa: PLR0917  the table is read as columns
        self,
        flags: str,
        text: str,
        value: str = "",
        kind: str = "",
        choices: Sequence[str] = (),
        default: object = None,
    ) -> None:
        self.flags = flags.split()
        self.text = text
        self.value = value
        self.kind = kind
        self.choices = choices
        self.default = default

    @property
    def takes_value(self) -> bool:
        """Tell whether an argument follows it."""
        return bool(self.value or self.choices)


class Command:
    """A command: what it is called, what it takes, and where it is done.

    *how* is "module:function" within this package; the function takes the arguments and,
    if *connects*, a client.  *outputs* are the values of -o, the default first.  *alone*, as
    *how*, takes the arguments and why no supervisor can be asked, where none can.  What
    stands behind -- goes to the program that it *passes_on* to.
    """

    __slots__ = (
        "aliases", "alone", "arguments", "connects", "examples", "hidden", "how", "more", "name",
        "options", "outputs", "passes_on", "text",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        text: str,
        how: str,
        arguments: Sequence[Argument] = (),
        options: Sequence[Option] = (),
        *,
        more: str = "",
        outputs: Sequence[str] = (),
        examples: Sequence[tuple[str, str]] = (),
        aliases: Sequence[str] = (),
        alone: str = "",
        passes_on: str = "",
        connects: bool = True,
        hidden: bool = False,
    ) -> None:
        self.name = name
        self.text = text
        self.how = how
        self.arguments = arguments
        self.options = options
        self.more = more
        self.outputs = outputs
        self.examples = examples
        self.aliases = aliases
        self.alone = alone
        self.passes_on = passes_on
        self.connects = connects
        self.hidden = hidden


#: Understood before the command and behind it.
GLOBAL = (
    Option("-n --name", "the supervisor; default: PIDSUP_NAME, else the only one", "NAME", "name"),
    Option("--socket", "the supervisor that listens at this path, or @NAME", "PATH", "file"),
    Option(
        "-H --host",
        "a supervisor on another machine, by ssh (PIDSUP_SSH: by another program)",
        "[USER@]HOST[:PORT]",
        "host",
    ),
    Option(
        "--color",
        "when to use colour; auto: on a terminal, unless NO_COLOR is set",
        choices=("auto", "always", "never"),
        default="auto",
    ),
)

#: What may stand before the command; which outputs there are is up to that.
LEADING = (*GLOBAL, Option("-o --output", "as the command has it", "FORMAT", "output"))

_SELECTORS = Argument("SELECTOR", "watchers or slots; default: all", "selector", "*")
_SOME = Argument("SELECTOR", "watchers or slots", "selector", "+")
_CHANGED = (
    Option("--no-wait", "do not wait until it is done"),
    Option(
        "--timeout", "wait no longer than this: 5s, 2min; the change goes on", "TIME", "duration"
    ),
    Option("-q --quiet", "print nothing but errors"),
)
_TIMES = (
    Option("--abs-time", "show dates and times instead of how long ago it was"),
    Option("--utc", "the same, in UTC"),
)
_TABLE = ("table", "json")

_ALL = (
    Command(
        "status",
        "show how watchers and slots stand",
        "status:run",
        (_SELECTORS,),
        (
            Option("-a --all", "a line for every slot, the healthy ones of a large watcher too"),
            Option("-q --quiet", "print nothing: the exit code tells"),
            *_TIMES,
        ),
        more="""A line per watcher and one per slot: state, process, how long it has been up, and
        for what is not well the reason, the next try and the last line that it wrote.  The
        healthy slots of a large watcher share a line.  One watcher or slot by its name is shown
        in more detail, with its last output.  -o wide adds processor time, memory, serial number
        and generation.  Exit code: 0 all is as wanted, 3 it is not, 4 there is no such name.""",
        outputs=("table", "wide", "json"),
        examples=(
            ("pidsupctl status", "everything"),
            ("pidsupctl status web", "one watcher in detail, with its last output"),
            ("pidsupctl status -q 'web:*' && deploy", "only if all of web is as wanted"),
            ("pidsupctl status -o json | jq -r '.watchers[].name'", "for scripts"),
        ),
        aliases=("ls", "list"),
    ),
    Command(
        "start",
        "start; what has failed is tried again",
        "changing:start",
        (_SOME,),
        _CHANGED,
        more="Waits until every worker is ready, or has failed.",
        outputs=_TABLE,
        examples=(
            ("pidsupctl start web", ""),
            ("pidsupctl start '*' --timeout 30s", "wait for half a minute at most"),
        ),
    ),
    Command(
        "stop",
        "stop, and wait until nothing is left",
        "changing:stop",
        (_SOME,),
        _CHANGED,
        more="""Follows the stop plan of each watcher.  Who keeps it waiting is said after two
        seconds.""",
        outputs=_TABLE,
        examples=(
            ("pidsupctl stop web:3", "one slot; the others go on"),
            ("pidsupctl stop 'mail*' 'cron*'", "several watchers"),
        ),
    ),
    Command(
        "restart",
        "replace every worker by a new one",
        "changing:restart",
        (_SOME,),
        _CHANGED,
        more="Done when all workers were started after this was asked.",
        outputs=_TABLE,
        examples=(("pidsupctl restart web", ""), ("pidsupctl restart web:0 web:1", "")),
    ),
    Command(
        "scale",
        "set how many workers run, others untouched",
        "changing:scale",
        (
            Argument("WATCHER", "watchers", "watcher", "+"),
            Argument("COUNT", "5, or +2, or -1", "count"),
        ),
        _CHANGED,
        outputs=_TABLE,
        examples=(
            ("pidsupctl scale web 8", ""),
            ("pidsupctl scale web +2", "two more than are wanted now"),
        ),
    ),
    Command(
        "signal",
        "send a signal to workers",
        "changing:signal",
        (Argument("SIGNAL", "HUP, SIGUSR1, 10, ...", "signal"), _SOME),
        (
            Option(
                "--to",
                "the worker itself, its children, or its whole tree",
                choices=("main", "children", "all"),
                default="main",
            ),
            Option("-q --quiet", "print nothing but errors"),
        ),
        more="Fails when none of the selected has a worker that runs.",
        outputs=_TABLE,
        examples=(
            ("pidsupctl signal HUP web", ""),
            ("pidsupctl signal USR1 web:0 --to all", "its descendants, too"),
        ),
        aliases=("kill",),
    ),
    Command(
        "logs",
        "show what workers have written",
        "logs:run",
        (_SELECTORS,),
        (
            Option("-f --follow", "go on with what is written from now on, across restarts"),
            Option("-n --lines", "so many lines of the past, or all", "N", "lines"),
            Option("--since", "nothing older: 10min, today, 2026-03-01 14:00", "TIME", "since"),
            Option("--stream", "only one of the two", choices=("stdout", "stderr")),
            Option("-t --timestamps", "show when each line was read; the journal always does"),
            Option("--until", "nothing newer; this and the next: of the journal", "TIME", "since"),
            Option("-p --priority", "only of this priority or worse: err, 0..4", "PRIORITY"),
            Option("-g --grep", "only what a regular expression matches", "PATTERN"),
            Option("-r --reverse", "the newest first"),
            Option("-x --catalog", "with explanations of what the supervisor says"),
            Option("--no-pager", "do not use a pager"),
            *_TIMES,
        ),
        more="""Output that goes to the journal, as it does by itself under systemd, is shown by
        journalctl(1), with what the supervisor says of the selected: all its formats can be asked
        for by -o, and what stands behind -- is for it.  Slots that are gone can be selected, too,
        and where the supervisor does not run, or not for you, what the journal has of it is shown.
        Times may have any form of systemd.time(7) there.  Of the lines after --since the
        journalctl of systemd 252 shows the first -n, later ones the last; with -r all the last.
        Otherwise the supervisor keeps the last lines of each slot.  plain prints what was written,
        byte for byte; prefixed, the default, puts the name of the slot before each line, and on a
        terminal shows what would steer that, but for colours; json prints an object per line.
        What had to be left out is said on standard error.""",
        outputs=(
            "prefixed", "plain", "json", "short", "short-precise", "short-iso", "short-full",
            "short-monotonic", "short-unix", "with-unit", "verbose", "cat", "export",
            "json-pretty", "json-seq", "json-sse",
        ),
        examples=(
            ("pidsupctl logs -f web", "watch a watcher"),
            ("pidsupctl logs -n 100 --stream stderr web:3", ""),
            ("pidsupctl logs --since 10min -o plain web > web.txt", ""),
            ("pidsupctl logs -x -p warning web -- --boot=-1", "in the journal, before the boot"),
        ),
        aliases=("log", "tail"),
        alone="journal:of_the_past",
        passes_on="journalctl",
    ),
    Command(
        "events",
        "show what happens, as it happens",
        "events:run",
        (_SELECTORS,),
        (
            Option("--cursor", "go on behind this one, of an earlier answer", "CURSOR"),
            *_TIMES,
        ),
        more="""Ends with the supervisor, or when interrupted.  With -o json each answer of the
        supervisor is a line: first the status (kind snapshot), then events; `cursor` is what
        --cursor takes.""",
        outputs=_TABLE,
        examples=(
            ("pidsupctl events", ""),
            ("pidsupctl events -o json web | jq -c '.events[]'", ""),
        ),
    ),
    Command(
        "wait",
        "wait until the selected are ready or completed, or down",
        "waiting:run",
        (_SOME,),
        (
            Option(
                "--for",
                "what to wait for",
                choices=("ready", "down", "wanted"),
                default="ready",
            ),
            Option("--timeout", "wait no longer than this: 5s, 2min", "TIME", "duration"),
            Option("-q --quiet", "print nothing but errors"),
        ),
        more="""Changes nothing.  ready: every slot that is wanted is ready, or has completed as
        a one-shot does, and there is one; down: none runs; wanted: what `status` calls as wanted.
        Fails at once, with the reason, when what is waited for cannot come by itself, as a slot
        has failed.  Exit code: 0, or 1 then, or 8 after --timeout.""",
        examples=(("pidsupctl wait db --timeout 30s && migrate", ""),),
    ),
    Command(
        "changes",
        "show changes: who asked for what, and what became of it",
        "changes:run",
        (Argument("ID", "numbers of changes; default: the latest", "change", "*"),),
        (Option("-l --limit", "so many of the latest", "N", "number", default=20), *_TIMES),
        outputs=_TABLE,
        examples=(
            ("pidsupctl changes", "the latest"),
            ("pidsupctl changes 12", "one, with its tasks"),
        ),
        aliases=("change",),
    ),
    Command(
        "explain",
        "say why things are as they are",
        "explain:run",
        (_SELECTORS,),
        outputs=_TABLE,
        examples=(("pidsupctl explain web:3", ""),),
        aliases=("why",),
    ),
    Command(
        "tree",
        "show the processes of each slot",
        "tree:run",
        (_SELECTORS,),
        outputs=_TABLE,
        examples=(("pidsupctl tree web", ""),),
    ),
    Command(
        "stats",
        "show what each slot uses",
        "stats:run",
        (_SELECTORS,),
        outputs=_TABLE,
        more="Sums over each slot's tree of processes: threads, processor time, memory.",
        examples=(("pidsupctl stats", ""),),
    ),
    Command(
        "top",
        "watch what workers use",
        "top:run",
        (_SELECTORS,),
        (
            Option("-d --delay", "time between two looks", "TIME", "duration", default=2.0),
            Option("-s --sort", "what comes first", choices=("cpu", "mem", "restarts", "name")),
            Option("-b --batch", "print instead of a live view; so it is without a terminal"),
            Option("-n --count", "end after so many looks; in batch mode 1", "N", "number"),
        ),
        more="""Keys: q quit; arrows, PgUp, PgDn, Home, End scroll; s next order, c m r n that
        order; t fold and unfold; / filter; ? help.""",
        examples=(
            ("pidsupctl top", ""),
            ("pidsupctl top -b -n 5 -d 10s web > usage.txt", ""),
        ),
    ),
    Command(
        "run",
        "run a command as a worker of a watcher would run",
        "oneoff:run",
        (
            Argument("WATCHER", "whose user, directory and environment", "watcher"),
            Argument("COMMAND", "the command; default: the user's shell", "command", "..."),
        ),
        (Option("-e --env", "set a variable; may be repeated", "NAME=VALUE", "variable"),),
        more="""In the foreground, on your terminal, as a child of pidsupctl: with the watcher's
        user, groups, capabilities, directory, umask, nice, limits and environment, but without
        its sockets.  The supervisor does not watch it; it must be root's, or your own.  Needs the
        right to everything, as environments may hold secrets.  Exit code: the command's; 126
        and 127 as in a shell.""",
        examples=(
            ("pidsupctl run web python3 manage.py migrate", ""),
            ("pidsupctl run web", "a shell"),
        ),
    ),
    Command(
        "diff",
        "show what differs from the configuration in force",
        "diff:run",
        more="""Reads the configuration files of the supervisor again, and compares field by field
        with what is in force; what applying a difference takes stands behind it.  Needs the
        right to everything, as environments may hold secrets.  Exit code: 0 nothing differs, 1
        something does, 2 the files cannot be used.""",
        outputs=_TABLE,
        examples=(("pidsupctl diff", ""),),
    ),
    Command(
        "apply",
        "read the configuration again, and be as it says",
        "changing:apply",
        (),
        (Option("--dry-run", "show what would change, as diff does"), *_CHANGED),
        more="""Reads the configuration files of the supervisor again and checks them as `pidsup
        check` does; where something is wrong nothing is changed.  Otherwise watchers come and
        go, and change: only those restart of which something changes that needs it.  SIGHUP does
        the same.  Waits until it is done.  Exit code with --dry-run: 0 it can be applied, or
        1.""",
        outputs=_TABLE,
        examples=(
            ("pidsupctl apply", ""),
            ("pidsupctl apply --dry-run", "what would change"),
        ),
    ),
    Command(
        "shutdown",
        "stop everything and end the supervisor",
        "changing:shutdown",
        (),
        _CHANGED,
        outputs=_TABLE,
        examples=(("pidsupctl shutdown", ""),),
    ),
    Command(
        "doctor",
        "look for what is wrong with this machine and its supervisors",
        "doctor:run",
        (),
        (Option("-q --quiet", "only warnings and problems"),),
        more="""The kernel and what each promise loses on an older one, limits, the runtime
        directory, the supervisors that run or have left something behind; of the chosen one its
        version, its configuration, failed slots and dropped output.  Exit code: 0, or 1 when
        there is a problem; warnings do not count.""",
        outputs=_TABLE,
        examples=(("pidsupctl doctor", ""), ("pidsupctl -n shop doctor", "")),
        connects=False,
    ),
    Command(
        "completion",
        "print the completions for a shell, of pidsup too",
        "completion:run",
        (Argument("SHELL", "bash, zsh or fish", "shell", choices=("bash", "zsh", "fish")),),
        more="""Packages install them.  Otherwise: bash, add `eval "$(pidsupctl completion bash)"`
        to ~/.bashrc; zsh, the same behind compinit in ~/.zshrc; fish, put them into
        ~/.config/fish/conf.d/pidsup.fish.""",
        examples=(('eval "$(pidsupctl completion bash)"', ""),),
        connects=False,
    ),
    Command(
        "help",
        "explain a command",
        "reference:show",
        (Argument("COMMAND", "the command", "topic", "?"),),
        connects=False,
    ),
    Command(
        "stdio",
        "connect standard input and output to the supervisor: the far end of -H",
        "bridge:run",
        connects=False,
        hidden=True,
    ),
)  # fmt: skip

COMMANDS = {command.name: command for command in _ALL}

ABOUT_SELECTORS = (
    """SELECTOR is a watcher or a slot, with wildcards: web, web:3, 'w*', 'web:*', '*'."""
)

#: Exit code -> what it says.
EXIT_CODES = {
    0: "done",
    1: "failed",
    2: "wrong usage",
    3: "not all is as wanted (status)",
    4: "no right to ask; or no such name (status)",
    5: "no such name",
    7: "no supervisor, or it cannot be reached",
    8: "a timeout passed first; the change goes on",
    10: "superseded by somebody's contrary wish",
    130: "interrupted; the change goes on",
}

ENVIRONMENT = {
    "PIDSUP_NAME": "the supervisor, where -n does not say it",
    "PIDSUP_SSH": "what -H runs instead of ssh, with its arguments",
    "NO_COLOR": "no colour, unless --color=always",
    "XDG_RUNTIME_DIR": "where supervisors of users other than root are found, in pidsup/",
}


def find(word: str) -> Command | None:
    """Return the command of that name, or alias."""
    found = COMMANDS.get(word)
    if found is None:
        found = next((command for command in _ALL if word in command.aliases), None)
    return found
