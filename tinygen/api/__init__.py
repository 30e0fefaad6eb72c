"""What Python programs and the command line use: a model, a model in fixed point, a build, a built folder, and what can
be asked of them. `tinygen` itself offers these names, loaded when they are first used.
"""
