"""Parts of a page that a program writes, between two markers."""


def between(page: str, begin: str, end: str, text: str) -> str:
    """``page`` with ``text`` between its markers. Raises SystemExit if it lacks them."""
    if not (begin in page and end in page):
        raise SystemExit(f"The page lacks the markers {begin.strip()} … {end.strip()}")
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{text}\n{end}{after}"
