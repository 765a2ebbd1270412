"""The first half of a program: where the data lies, what is read, which columns are made of it."""

from __future__ import annotations

from ...records import Task
from .brief import Brief
from .idea import Draft, literal

MEDIA = '(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")'


def read_section(draft: Draft, task: Task) -> list[str]:
    """Tables, names, target and the columns that train and test share."""
    brief = draft.brief
    train, test, sample = (file_of(task, role) for role in ("train", "test", "sample_submission"))
    lines = [
        f"data = Path({literal('/kaggle/input/' + brief.name)})",
        "if not data.is_dir():",
        '    data = Path(".")',
        f"train = {_reader(train or 'train.csv')}",
        f"test = {_reader(test)}" if test else "test = train.copy()",
    ]
    if sample:
        lines.append(f"sample = {_reader(sample)}")
    lines += _names(brief, bool(sample))
    target = "TARGETS" if brief.multi else "[TARGET]"
    lines.append(f"train = train.dropna(subset={target}).reset_index(drop=True)")
    if draft.sample_rows:
        lines.append(
            f"train = train.sample(min(len(train), {draft.sample_rows}), random_state=0)"
            ".reset_index(drop=True)"
        )
    lines += [_truth(brief), *_shared(draft)]
    return lines


def file_of(task: Task, role: str) -> str | None:
    """Path of the first input of a role; the usual name when the task lists no inputs."""
    for item in task.inputs:
        if item.role == role:
            return item.path
    usual = {"train": "train.csv", "test": "test.csv", "sample_submission": "sample_submission.csv"}
    return None if task.inputs else usual[role]


def _reader(path: str) -> str:
    name = path.lower()
    if name.endswith((".parquet", ".pq")):
        return f"pd.read_parquet(data / {literal(path)})"
    separator = ', sep="\\t"' if ".tsv" in name else ""
    return f"pd.read_csv(data / {literal(path)}{separator})"


def _names(brief: Brief, sample: bool) -> list[str]:
    """ID and TARGET(S): from the sample's header where it says so, else spelt out."""
    expected = (brief.id_column, *brief.targets) if brief.id_column else brief.targets
    if sample and brief.targets and brief.submission == expected:
        star = "*TARGETS" if brief.multi else "TARGET"
        left = f"ID, {star}" if brief.id_column else star + ("," if brief.multi else "")
        if brief.id_column or brief.multi:
            return [f"{left} = sample.columns"]
        return ["TARGET = sample.columns[0]"]
    lines = [f"ID = {literal(brief.id_column)}"] if brief.id_column else []
    if not brief.targets:
        return [*lines, "TARGET = [c for c in train.columns if c not in test.columns][-1]"]
    return [
        *lines,
        f"TARGETS = {literal(brief.targets)}" if brief.multi else f"TARGET = {literal(brief.targets[0])}",
    ]


def _truth(brief: Brief) -> str:
    if brief.multi:
        return f"y = train[TARGETS].to_numpy({'int' if brief.mode == 'classify' else 'float'})"
    if brief.mode == "classify":
        return "labels, y = np.unique(train[TARGET], return_inverse=True)"
    return "y = train[TARGET].to_numpy(float)"


def _shared(draft: Draft) -> list[str]:
    """X and X_test: columns of both tables, without what no idea of the draft uses."""
    brief = draft.brief
    drop = [c for c in brief.drop if c != brief.id_column]
    if brief.dates and not uses(draft, "DATES"):
        drop += brief.dates
    if brief.text and not draft.text and not uses(draft, "TEXT"):
        drop += brief.text
    fixed = [*(["ID"] if brief.id_column else []), "*TARGETS" if brief.multi else "TARGET"]
    names = ", ".join([*fixed, *(literal(name) for name in drop)])
    return [
        f"unused = [{names}]",
        "X = train[[c for c in test.columns if c in train.columns and c not in unused]].copy()",
        "X_test = test[X.columns].copy()",
    ]


def uses(draft: Draft, name: str) -> bool:
    """Whether a feature line mentions the constant `name`."""
    return any(name in line for line in draft.features)


def features_section(draft: Draft) -> list[str]:
    """`add_features`, image features, and lines that use both tables."""
    brief, lines = draft.brief, []
    if brief.dates and uses(draft, "DATES"):
        lines.append(f"DATES = {literal(brief.dates)}")
    if brief.text and (draft.text or uses(draft, "TEXT")):
        lines.append(f"TEXT = {literal(brief.text)}")
    if draft.features:
        gone = [name for name in ("DATES", "TEXT") if uses(draft, name)]
        if draft.text and "TEXT" in gone:
            gone.remove("TEXT")
        drop = f".drop(columns={' + '.join(gone)})" if gone else ""
        lines += ["", "", "def add_features(df):", "    df = df.copy()"]
        lines += ["    " + line if line else "" for line in draft.features]
        lines += [f"    return df{drop}", "", ""]
        lines.append("X, X_test = add_features(X), add_features(X_test)")
    if brief.paths and draft.images:
        lines += _images(draft)
    return _stripped(lines + draft.frames)


def _images(draft: Draft) -> list[str]:
    draft.use("PIL", "Image")
    column = "ID" if draft.brief.paths[0] == draft.brief.id_column else literal(draft.brief.paths[0])
    return [
        f'files = {{f.stem: f for f in data.rglob("*") if f.suffix.lower() in {MEDIA}}}',
        "",
        "",
        "def image_features(name):",
        "    path = data / str(name)",
        "    with Image.open(path if path.is_file() else files[Path(str(name)).stem]) as image:",
        "        parts = [",
        *(f"            {part}," for part in draft.images),
        "        ]",
        "    return np.concatenate(parts)",
        "",
        "",
        "def add_images(df, names):",
        '    pixels = pd.DataFrame(np.stack([image_features(n) for n in names])).add_prefix("pixel ")',
        "    return pd.concat([df, pixels.set_index(df.index)], axis=1)",
        "",
        "",
        f"X, X_test = add_images(X, train[{column}]), add_images(X_test, test[{column}])",
    ]


def _stripped(lines: list[str]) -> list[str]:
    while lines and not lines[0]:
        lines = lines[1:]
    return lines


def makes_categories(draft: Draft) -> bool:
    """Whether non-numeric columns must be expected once features are made."""
    made = any("astype(str)" in line for line in draft.features + draft.frames)
    return draft.brief.has_category or made


def columns_section(draft: Draft) -> list[str]:
    """Columns sorted by type, and made clean where something asks for it."""
    lines = []
    category, text = makes_categories(draft), bool(draft.brief.text and draft.text)
    if draft.brief.missing or draft.features:
        # a column with hardly a value tells nothing, and gradient boosting can't bin an empty one
        lines += ["X = X.dropna(axis=1, thresh=len(X) // 50 + 1).copy()", "X_test = X_test[X.columns].copy()"]
    coerce, finite = "coerce" in draft.repairs, "finite" in draft.repairs
    if category or coerce or finite:
        lines.append('numeric = X.select_dtypes("number").columns.tolist()')
    if category:
        rest = "numeric + TEXT" if text else "numeric"
        lines.append(f"category = [c for c in X.columns if c not in {rest}]")
    inside = []
    if coerce:
        inside.append('df[numeric] = df[numeric].apply(pd.to_numeric, errors="coerce")')
    if finite:
        inside.append("df[numeric] = df[numeric].astype(float).replace([np.inf, -np.inf], np.nan)")
    if category:
        inside.append('df[category] = df[category].astype(object).fillna("missing").astype(str)')
    if text:
        inside.append('df[TEXT] = df[TEXT].astype(object).fillna("").astype(str)')
    if inside:
        lines += ["for df in (X, X_test):", *("    " + line for line in inside)]
    if text and not category:
        lines.append("numeric = [c for c in X.columns if c not in TEXT]")
    return lines
