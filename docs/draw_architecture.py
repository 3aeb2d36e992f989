"""Draw docs/architecture.svg from the imports: which part of the package uses which.

    python docs/draw_architecture.py

A row is a layer: a part imports what lies below it, and of its own row only without a circle
(tests/test_structure.py sees to that). An arrow that another way round implies is left out.
"""

import ast
import importlib.util
import pathlib

# From the lowest layer up: where each part stands in its row, so that no arrow crosses a box.
LAYERS = [
    {"keras_gaps": 1.0, "angles": 5.0, "utils": 8.6},
    {"distributed": 1.0, "labels": 3.0, "numerics": 5.0},
    {"heads": 3.0},
    {"losses": 5.2},
    {"models": 1.4},
    {"backbones": 7.0},
    {"verification": 4.6, "identification": 7.05, "retrieval": 9.0},
    {"tuning": 2.6, "callbacks": 6.2},
    {"experiments": 4.2},
]
PACKAGE = "keras_vsoftmax"
PICTURE = pathlib.Path(__file__).with_name("architecture.svg")


def module_files():
    """{dotted name of a module: its file}, all of the package that Python finds, not imported."""
    root = pathlib.Path(importlib.util.find_spec(PACKAGE).origin).parent
    files = {}
    for path in sorted(root.rglob("*.py")):
        parts = (PACKAGE, *path.relative_to(root).with_suffix("").parts)
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def imports():
    """{module: the modules of the package that it imports}, at its top or within a function.

    A name that a package took from one of its modules counts as an import of that module.
    """
    files = module_files()
    trees = {module: ast.parse(path.read_text()) for module, path in files.items()}
    origins = {
        f"{module}.{alias.asname or alias.name}": node.module
        for module, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    found = {}
    for module, tree in trees.items():
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                if node.level:
                    raise ValueError(f"{files[module]} has a relative import: write it whole.")
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    names.add(whole if whole in files else origins.get(whole, node.module))
        found[module] = names & set(files)
    return found


def part(module):
    """The part a module belongs to: the second word of its name, None for the package itself."""
    return (module.split(".") + [None])[1]


def parts():
    """{part: the other parts that it imports}."""
    found = {}
    for module, imported in imports().items():
        if part(module):
            uses = found.setdefault(part(module), set())
            uses.update({part(name) for name in imported} - {None, part(module)})
    return found


def arrows(uses):
    """The pairs (part, part it uses) without those that a longer way implies."""

    def below(name):
        return set().union(uses[name], *(below(other) for other in uses[name]))

    return sorted(
        (name, other)
        for name in uses
        for other in uses[name]
        if not any(other in below(between) for between in uses[name] - {other})
    )


def draw(path=PICTURE):
    """Write the picture: a row a layer, the lowest at the bottom, an arrow an import."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams |= {"svg.hashsalt": PACKAGE, "svg.fonttype": "none"}
    figure = Figure(figsize=(8, 6.5))
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set(xlim=(0, 10), ylim=(-0.7, len(LAYERS) - 0.3))
    axes.axis("off")
    boxes = {}
    for height, names in enumerate(LAYERS):
        for name, across in names.items():
            box = {"boxstyle": "round,pad=0.5", "facecolor": "#eef3f8", "edgecolor": "#557"}
            boxes[name] = axes.text(across, height, name, ha="center", va="center", bbox=box)
    figure.canvas.draw()
    for user, used in arrows(parts()):
        arrow = axes.annotate(
            "",
            xy=boxes[used].get_position(),
            xytext=boxes[user].get_position(),
            arrowprops={
                "arrowstyle": "-|>",
                "color": "#557",
                "patchA": boxes[user].get_bbox_patch(),
                "patchB": boxes[used].get_bbox_patch(),
            },
        )
        arrow.arrow_patch.set_gid(f"{user}-uses-{used}")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw()
