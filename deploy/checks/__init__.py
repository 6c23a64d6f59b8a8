"""The checks of deploy/validate: files by what reads them, nodes by starting them, placeholders by leaving them as they are."""
