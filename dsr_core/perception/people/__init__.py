"""People: bodies with landmarks, masks and headings. Each backend is one file and loads its packages when made."""
