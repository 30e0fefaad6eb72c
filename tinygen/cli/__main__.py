"""python -m tinygen.cli"""

from tinygen.cli import main

main()
