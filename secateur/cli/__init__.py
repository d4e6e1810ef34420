"""The command line: parsing and printing only. `secateur --help` tells the rest.

    app.py       the commands, exit codes, and what an error looks like
    options.py   the options that commands share, and --config
    inputs.py    import strings, weights and data files turned into what the library takes
    show.py      tables, numbers and JSON on standard output; notes on standard error
    and a file for each command

No module here imports torch before a command runs.
"""

from secateur.cli.app import main, run

__all__ = ["main", "run"]
