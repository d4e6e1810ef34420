"""The paper's twelve claims put to the test, as they are registered in claims.toml.

registry    what decides each claim     networks     trained networks and their examples
training, deep, choice, cancelling, width,
relu, schedule, checkpoints, cost, subset     what is measured, an experiment a file
tasks       one experiment from one seed: the unit of work, kept in a file
decision    numbers to verdicts         run          all of it: claims.json
pictures, page                          claims.json to figures and to claims.md
"""
