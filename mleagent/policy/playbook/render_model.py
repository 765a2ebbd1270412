"""The second half of a program: pipeline and model, validation, prediction, submission."""

from __future__ import annotations

import re

from .brief import Brief
from .columns import target_encoder
from .idea import Draft, literal
from .metric_code import metric_code, top
from .outcome import SKEW_METRICS
from .render_data import makes_categories


def wants_proba(draft: Draft) -> bool:
    """Whether the program predicts probabilities."""
    return not draft.regress and draft.brief.output in ("probability", "ranking")


# --- the model ------------------------------------------------------------------


def model_section(draft: Draft) -> list[str]:
    """`model = ...` with everything between the columns and the prediction."""
    category, text = makes_categories(draft), bool(draft.brief.text and draft.text)
    numeric = _numeric_steps(draft)
    lines, steps = [], []
    if category or text:
        lines, steps = _column_transformer(draft, numeric, category, text), ["prepare"]
    else:
        steps = numeric
    steps = [*steps, *draft.reduce, _final(draft)]
    if len(steps) == 1:
        lines.append(f"model = {steps[0]}")
    else:
        draft.use("sklearn.pipeline", "make_pipeline")
        lines += ["model = make_pipeline(", *(f"    {step}," for step in steps), ")"]
    if draft.target and draft.regress:
        draft.use("sklearn.compose", "TransformedTargetRegressor")
        lines.append(f"model = TransformedTargetRegressor(model, {draft.target})")
    lines += [f"model = {wrap.format('model')}" for wrap in draft.wrap]
    return lines


def _numeric_steps(draft: Draft) -> list[str]:
    steps = []
    if draft.impute or "impute" in draft.needs:
        if not draft.impute:
            draft.use("sklearn.impute", "SimpleImputer")
        steps.append(draft.impute or 'SimpleImputer(strategy="median")')
    if draft.scale or "scale" in draft.needs:
        if not draft.scale:
            draft.use("sklearn.preprocessing", "StandardScaler")
        steps.append(draft.scale or "StandardScaler()")
    steps += draft.numeric_extra
    if draft.numeric_extra and "scale" in draft.needs:
        draft.use("sklearn.preprocessing", "StandardScaler")
        steps.append("StandardScaler()")
    return steps


def _column_transformer(draft: Draft, numeric: list[str], category: bool, text: bool) -> list[str]:
    draft.use("sklearn.compose", "make_column_transformer")
    if len(numeric) > 1:
        draft.use("sklearn.pipeline", "make_pipeline")
    first = (
        f"make_pipeline({', '.join(numeric)})" if len(numeric) > 1 else "".join(numeric) or '"passthrough"'
    )
    parts = [f"({first}, numeric)"]
    if category:
        parts.append(f"({_encoder(draft)}, category)")
    if text:
        parts += [f"({_vectoriser(draft)}, {literal(name)})" for name in draft.brief.text]
    if text and "dense" in draft.needs:
        parts.append("sparse_threshold=0")
    return ["prepare = make_column_transformer(", *(f"    {part}," for part in parts), ")"]


def _encoder(draft: Draft) -> str:
    if not draft.encode and "onehot" in draft.needs:
        draft.use("sklearn.preprocessing", "OneHotEncoder")
        return 'OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=20, sparse_output=False)'
    if not draft.encode and draft.brief.widest > 20 and not draft.brief.multi:
        # whole numbers in no order cost trees many splits where there are many categories
        draft.encode = target_encoder(draft)
    if not draft.encode:
        draft.use("sklearn.preprocessing", "OrdinalEncoder")
        return 'OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)'
    if "scale" in draft.needs and not draft.encode.startswith("OneHot"):
        # linear models, kernels and networks suffer from codes on their own scale
        draft.use("sklearn.pipeline", "make_pipeline")
        draft.use("sklearn.preprocessing", "StandardScaler")
        return f"make_pipeline({draft.encode}, StandardScaler())"
    return draft.encode


def _vectoriser(draft: Draft) -> str:
    """The text's vectoriser; for models that take no sparse matrix with few columns."""
    if "dense" not in draft.needs or "SVD" in draft.text:
        return draft.text
    return re.sub(r"(max_features|n_features)=\d+", r"\1=200", draft.text)


def _final(draft: Draft) -> str:
    """The estimator at the pipeline's end: one model, several joined, copies, several targets."""
    single = len(draft.models) == 1
    kind = "Regressor" if draft.regress else "Classifier"
    models = list(draft.models)
    if not draft.regress and (wants_proba(draft) or not single):
        models = [_with_proba(draft, model) for model in models]
    final = models[0] if single else _joined(draft, models, kind)
    if draft.bag:
        draft.use("sklearn.ensemble", f"Bagging{kind}")
        final = f"Bagging{kind}({final}, n_estimators={draft.bag}, max_samples=0.9, random_state=0)"
    if draft.brief.multi and not (draft.regress and single and draft.native_multi):
        draft.use("sklearn.multioutput", f"MultiOutput{kind}")
        final = f"MultiOutput{kind}({final})"
    return final


def _with_proba(draft: Draft, model: str) -> str:
    if model not in draft.mute:
        return model
    draft.use("sklearn.calibration", "CalibratedClassifierCV")
    return f"CalibratedClassifierCV({model}, cv=3, ensemble=False)"


def _joined(draft: Draft, models: list[str], kind: str) -> str:
    named = ", ".join(f'("{chr(97 + place)}", {model})' for place, model in enumerate(models))
    if draft.ensemble == "blend" or draft.brief.multi:
        draft.use("sklearn.ensemble", f"Voting{kind}")
        soft = "" if draft.regress else ', voting="soft"'
        return f"Voting{kind}([{named}]{soft})"
    draft.use("sklearn.ensemble", f"Stacking{kind}")
    final = "RidgeCV()" if draft.regress else "LogisticRegression(max_iter=1000)"
    draft.use("sklearn.linear_model", final.split("(")[0])
    through = ", passthrough=True" if draft.ensemble == "stack-passthrough" else ""
    return f"Stacking{kind}([{named}], {final}, cv=4{through})"


# --- validation -----------------------------------------------------------------


def validation_section(draft: Draft) -> list[str]:
    """`truth` and `guess` on rows the model has not seen, and the printed score."""
    method = "predict_proba" if wants_proba(draft) else "predict"
    apart = draft.validation in ("holdout", "time")
    lines = _apart(draft, method) if apart else _folds(draft, method)
    if draft.brief.multi and method == "predict_proba":
        lines.append("guess = np.column_stack([p[:, 1] for p in guess])")
    lines += _finish(draft, "guess")
    code = metric_code(draft.brief)
    draft.imports.update(code.imports)
    if draft.cuts:
        lines += _cuts(draft, code.expression)
    lines.append(f'print(f"validation {code.name}: {{{_quotes(code.expression)}:.5f}}")')
    return lines


def _quotes(expression: str) -> str:
    # before Python 3.12 an f-string can't hold its own quotes
    return expression.replace('"', "'")


def _apart(draft: Draft, method: str) -> list[str]:
    """One part of the rows set aside: the latest ones, or a random fifth."""
    time = draft.brief.time
    if draft.validation == "time" and time:
        column = f"train[{literal(time)}]"
        if time not in draft.brief.numeric:
            column = f"moments({column})"
        lines = [
            f'order = np.argsort({column}.to_numpy(), kind="stable")',
            "fit_rows, held_rows = order[: int(0.8 * len(order))], order[int(0.8 * len(order)) :]",
        ]
    else:
        draft.use("sklearn.model_selection", "train_test_split")
        stratify = (
            "" if draft.brief.mode == "regress" or draft.brief.multi or _plain(draft) else ", stratify=y"
        )
        rows = f"train_test_split(np.arange(len(X)), test_size=0.2, random_state=0{stratify})"
        lines = [f"fit_rows, held_rows = {rows}"]
    return [
        *lines,
        "model.fit(X.iloc[fit_rows], y[fit_rows])",
        f"truth, guess = y[held_rows], model.{method}(X.iloc[held_rows])",
    ]


def _plain(draft: Draft) -> bool:
    return "plain" in draft.repairs


def _folds(draft: Draft, method: str) -> list[str]:
    draft.use("sklearn.model_selection", "cross_val_predict")
    groups, folds = "", draft.folds or 5
    if draft.validation == "group" and draft.brief.group:
        draft.use("sklearn.model_selection", "GroupKFold")
        cv = f"GroupKFold({folds})"
        groups = f", groups=train[{literal(draft.brief.group)}].astype(str)"
    else:
        stratified = draft.brief.mode == "classify" and not draft.brief.multi and not _plain(draft)
        name = "StratifiedKFold" if stratified else "KFold"
        draft.use("sklearn.model_selection", name)
        cv = f"{name}({folds}, shuffle=True, random_state=0)"
    how = "" if method == "predict" else f', method="{method}"'
    lines = [f"cv = {cv}", f"truth, guess = y, cross_val_predict(model, X, y, cv=cv{groups}{how})"]
    averaged = wants_proba(draft) or draft.regress
    if draft.validation == "repeated" and averaged and not (draft.brief.multi and not draft.regress):
        lines += [
            f"cv = {cv.replace('random_state=0', 'random_state=1')}",
            f"guess = (guess + cross_val_predict(model, X, y, cv=cv{groups}{how})) / 2",
        ]
    return lines


def _cuts(draft: Draft, expression: str) -> list[str]:
    """Cut points between ordered classes on the out-of-fold values."""
    lines = ["cuts = np.quantile(guess, np.cumsum(np.bincount(y))[:-1] / len(y))"]
    if draft.cuts == "search":
        lines += [
            "",
            "",
            "def score(cuts):",
            "    return " + expression.replace("guess", "np.searchsorted(np.sort(cuts), guess)"),
            "",
            "",
            "for place in list(range(len(cuts))) * 2:",
            "    tries = [np.where(np.arange(len(cuts)) == place, cuts + step, cuts)",
            "             for step in np.linspace(-0.4, 0.4, 17)]",
            "    cuts = np.sort(max(tries, key=score))",
        ]
    return [*lines, "guess = np.searchsorted(cuts, guess)"]


def _finish(draft: Draft, name: str) -> list[str]:
    """What is done to predicted values everywhere."""
    if draft.clip and draft.regress:
        return [f"{name} = np.clip({name}, y.min(axis=0), y.max(axis=0))"]
    if draft.brief.mode == "regress" and draft.brief.metric in SKEW_METRICS:
        return [f"{name} = np.clip({name}, 0, None)"]
    return []


# --- the submission -------------------------------------------------------------


def submission_section(draft: Draft, sample: bool) -> list[str]:
    """Fit on all rows, predict the test table, write `submission.csv`."""
    brief = draft.brief
    method = "predict_proba" if wants_proba(draft) else "predict"
    lines = ["model.fit(X, y)", f"prediction = model.{method}(X_test)", *_finish(draft, "prediction")]
    if draft.cuts:
        lines.append("prediction = np.searchsorted(cuts, prediction)")
    ids = (
        ["submission = pd.DataFrame({ID: test[ID]})"] if brief.id_column else ["submission = pd.DataFrame()"]
    )
    lines += ids + _answers(draft)
    if "bound" in draft.repairs:
        drop = '.drop(ID, errors="ignore")' if brief.id_column else ""
        limits = "0, 1" if wants_proba(draft) else "0"
        lines += [
            f'numbers = submission.select_dtypes("number").columns{drop}',
            f"submission[numbers] = submission[numbers].clip({limits})",
        ]
    if "sample" in draft.repairs and sample:
        lines += _as_sample(brief)
    if "fill" in draft.repairs:
        lines += [
            "submission = submission.replace([np.inf, -np.inf], np.nan)",
            "for column in submission:",
            "    submission[column] = submission[column].fillna(submission[column].mode()[0])",
        ]
    return [*lines, 'submission.to_csv("submission.csv", index=False)', 'print("saved submission.csv")']


def _as_sample(brief: Brief) -> list[str]:
    if brief.id_column:
        once = "submission.drop_duplicates(ID)"
        return [f'submission = sample[[ID]].merge({once}, on=ID, how="left")[sample.columns]']
    return ["submission = submission[sample.columns]"]


def _answers(draft: Draft) -> list[str]:
    """Columns of the submission from `prediction`."""
    brief = draft.brief
    columns = tuple(c for c in brief.submission if c != brief.id_column)
    if brief.output == "ranking":
        best = f"np.argsort(-prediction, axis=1)[:, :{top(brief)}]"
        return [f'submission[{_answer(brief)}] = [" ".join(map(str, labels[row])) for row in {best}]']
    if brief.multi:
        if wants_proba(draft):
            return ["submission[TARGETS] = np.column_stack([p[:, 1] for p in prediction])"]
        return ["submission[TARGETS] = prediction"]
    if brief.output == "probability" and not draft.regress:
        return _probabilities(brief, columns)
    if brief.mode == "classify":
        return [f"submission[{_answer(brief)}] = labels[prediction]"]
    return [f"submission[{_answer(brief)}] = prediction"]


def _answer(brief: Brief) -> str:
    """The one answer column: TARGET, unless the submission calls it otherwise."""
    columns = [c for c in brief.submission if c != brief.id_column]
    return "TARGET" if len(columns) != 1 or columns == list(brief.targets) else literal(columns[0])


def _probabilities(brief: Brief, columns: tuple[str, ...]) -> list[str]:
    if len(columns) <= 1:
        place = 1
        if len(brief.classes) == 2 and _sorted(brief.classes)[1] != brief.classes[1]:
            place = 0
        return [f"submission[{_answer(brief)}] = prediction[:, {place}]"]
    prefix = _prefix(columns, brief.classes)
    if prefix is None:
        return [f"submission[{literal(columns)}] = prediction"]
    name = f'f"{prefix}{{label}}"' if prefix else "str(label)"
    return ["for place, label in enumerate(labels):", f"    submission[{name}] = prediction[:, place]"]


def _prefix(columns: tuple[str, ...], classes: tuple[str, ...]) -> str | None:
    """What stands before the class in each column's name; None when names don't follow classes."""
    if not classes:
        return None
    wanted = sorted(columns)  # in the sample's order, which need not be that of the classes
    for column in columns:
        before = column.removesuffix(classes[0])
        if column != before and sorted(before + name for name in classes) == wanted:
            return before if not set('"\\{}\n') & set(before) else None
    return None


def _sorted(classes: tuple[str, ...]) -> list[str]:
    """Classes in the order numpy gives them: numbers by size, text by letters."""
    try:
        return sorted(classes, key=float)
    except ValueError:
        return sorted(classes)
