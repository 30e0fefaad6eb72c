"""The loop: batches through student and teacher, steps of Adam, a checkpoint after every epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinygen.calibrate.data import Samples
from tinygen.compress.network import Network, WeightForm, layers, weights
from tinygen.compress.train.adam import Adam
from tinygen.compress.train.augment import blend
from tinygen.compress.train.checkpoint import fingerprint, load, save
from tinygen.compress.train.constraints import FormModule, to_int8
from tinygen.compress.train.fake_quant import fake_quants, observe, quantised_constants
from tinygen.compress.train.loss import (
    Head,
    Objective,
    Target,
    check_same_ports,
    find_head,
    label_targets,
    turn,
    turn_input,
)
from tinygen.compress.train.module import Change, GraphModule, trainable
from tinygen.compress.train.settings import Training
from tinygen.errors import DataError, ModelError, TrainingError
from tinygen.ir.types import Graph, Quant
from tinygen.ops.base import Operator
from tinygen.progress import Progress

#: Samples whose activations give the layers' ranges and units.
OBSERVED = 256
#: Samples in a batch where no gradients are kept.
_FORWARD_BATCH = 256
#: Bias steps are counted in this share of a channel's output.
_BIAS_UNIT = 0.3


@dataclass(frozen=True)
class _Data:
    """Inputs as the network takes them, labels and cached teacher's answers, all (n, ...) and on the device."""

    inputs: tuple[Tensor, ...]
    labels: Tensor | None
    answers: tuple[Tensor, ...] | None
    spread: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Matrix:
    """Weights with a scale for each row, which the first `row_axes` count. `bias`: what is added to its sums, "" where
    nothing is; `reads`: the activation it multiplies then."""

    name: str
    row_axes: int
    bias: str = ""
    reads: str = ""

    def rows(self, w: Tensor) -> Tensor:
        """(rows, weights of one)."""
        return w.reshape(w.shape[: self.row_axes].numel(), -1)


def _matrices(graph: Graph) -> dict[str, _Matrix]:
    """By name, of all layers."""
    found: dict[str, _Matrix] = {}
    for node in graph.nodes:
        assert isinstance(node.op, Operator)
        for k, i in enumerate(node.op.matrices):
            own = node.op.bias is not None and k == 0
            more = (node.inputs[node.op.bias or 0], node.inputs[0]) if own else ()
            found.setdefault(node.inputs[i], _Matrix(node.inputs[i], node.op.row_axes, *more))
    return found


class Trainer:
    """One run of `fine_tune`: the student, what it must keep to, and the state that a checkpoint holds."""

    def __init__(
        self, network: Network, teacher: Graph | None, samples: Samples, settings: Training, quants: Mapping[str, Quant]
    ) -> None:
        self.network, self.settings, self.samples = network, settings, samples
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        check_same_ports(network.graph, teacher)
        self.student = GraphModule(network.graph).to(self.device)
        self.teacher = None if teacher is None else GraphModule(teacher).to(self.device)
        self._check_layers()
        pinned = {t.name: t.quant for t in network.graph.tensors.values() if t.quant and t.const is None}
        self.given = {**pinned, **quants}
        self.matrices = _matrices(network.graph)
        self.forms = self._make_forms()
        self.objective, self.data = self._prepare()
        self.adam = self._make_adam()
        self.average = [p.detach().clone() for p in self.adam.parameters] if settings.average else []
        self.epoch = 0
        self.losses: list[float] = []
        self._run_id = fingerprint(
            network, None if self.teacher is None else self.teacher.graph, settings, samples.sha256, quants
        )

    # -- before the loop ---------------------------------------------------------------------------------------------

    def _check_layers(self) -> None:
        if not trainable(self.network.graph):
            raise ModelError(
                f'fine-tuning of "{self.network.graph.name}": found no layer with weights. Compress without it.'
            )

    def _make_forms(self) -> dict[str, FormModule]:
        """By the name of the weights; nodes that share their weights share the form of the first, layers that start
        with one codebook go on sharing it."""
        graph, forms = self.network.graph, dict[str, FormModule]()
        books: dict[tuple[int, ...] | None, torch.nn.Parameter | None] = {}
        for node in layers(graph):
            t = weights(graph, node)
            if node.name not in self.network.forms or t.name in forms:
                continue
            form, w = self.network.form(node.name), t.array
            if self.settings.gradual and form.mask is not None and self.teacher is not None:
                # Zeros that are still to come: the weights start as the teacher's, where it has them.
                origin = self.teacher.graph.tensors.get(t.name)
                if origin is not None and origin.const is not None and origin.shape == t.shape:
                    w = np.where(form.mask.array, w, origin.array)
                    self.student.set_weights({t.name: w})
            scale = None if t.quant is None or t.quant.axis != 0 else np.asarray(t.quant.scale, np.float64)
            module = FormModule(
                form, w, scale, learn_entries=self.settings.learn_entries, book=books.get(form.codebook)
            ).to(self.device)
            forms[t.name], books[form.codebook] = module, module.book
        return forms

    def _prepare(self) -> tuple[Objective, _Data]:
        s, graph = self.settings, self.network.graph
        inputs = tuple(
            torch.from_numpy(np.ascontiguousarray(port.to_tensor(x))).to(self.device)
            for port, x in zip(graph.in_ports, self.samples.inputs, strict=True)
        )
        targets = [self._target(i) for i in range(len(graph.outputs))]
        labels, label_head = None, None
        if self.samples.labels is not None and (self.teacher is None or s.label_weight > 0.0 or s.loss == "auto"):
            same = graph.in_ports[0].shape == graph.out_ports[0].shape
            found = label_targets(self.samples.labels, graph.out_ports[0], targets[0], same_as_input=same, asked=s.loss)
            if found is not None:
                label_head, values = found
                labels = torch.from_numpy(values).to(self.device)
        if self.teacher is None and labels is None:
            what = "none" if self.samples.labels is None else f"labels of shape {self.samples.labels.shape}"
            raise DataError(
                f"fine-tuning needs a teacher (the original network) or labels that speak of its output "
                f'"{graph.out_ports[0].name}" {graph.out_ports[0].shape}: found no teacher and {what}.'
            )
        if targets[0].head is Head.PLAIN and (label_head is Head.SOFTMAX or s.loss == "classes"):
            targets[0] = replace(targets[0], head=Head.SOFTMAX)
        answers = None
        if self.teacher is not None:
            sample = self._answers(self.teacher, [x[:OBSERVED] for x in inputs], targets)
            spread = [max(float(a.var()), 1e-12) for a in sample]
            targets = [replace(t, spread=v) for t, v in zip(targets, spread, strict=True)]
            if not s.augments:
                answers = tuple(self._answers(self.teacher, inputs, targets))
        elif label_head is Head.PLAIN and labels is not None:
            targets[0] = replace(targets[0], spread=max(float(labels.var()), 1e-12))
        spread_in = tuple(float(x.std()) for x in inputs)
        used = labels if self.teacher is None or s.label_weight > 0.0 else None
        objective = Objective(tuple(targets), s.temperature, s.label_weight, label_head)
        return objective, _Data(inputs, used, answers, spread_in)

    def _target(self, i: int) -> Target:
        graph, asked = self.network.graph, self.settings.loss
        head, student = find_head(graph, graph.outputs[i])
        other, teacher = (head, None)
        if self.teacher is not None:
            other, teacher = find_head(self.teacher.graph, self.teacher.graph.outputs[i])
        if asked != "values" and {head, other} == {Head.SOFTMAX, Head.PLAIN}:
            head = Head.SOFTMAX  # one ends in a Softmax, the other in logits: both say classes
        elif asked == "values" or other is not head:
            head, student = Head.PLAIN, graph.outputs[i]
            teacher = None if self.teacher is None else self.teacher.graph.outputs[i]
        size, last = graph.tensors[student].size, graph.tensors[student].shape[-1]
        return Target(head, student, teacher, last if last > 1 else size)

    @torch.no_grad()  # not inference_mode: the loss keeps the answers for its backward pass
    def _answers(self, model: GraphModule, inputs: Sequence[Tensor], targets: Sequence[Target]) -> list[Tensor]:
        """The teacher's `targets` for inputs in the student's layout, and in that layout."""
        mine, other = self.network.graph, model.graph
        turned = [turn_input(x, port, own) for x, port, own in zip(inputs, mine.in_ports, other.in_ports, strict=True)]
        names = [t.teacher for t in targets if t.teacher is not None]
        parts = [
            model.run([x[i : i + _FORWARD_BATCH] for x in turned], names)
            for i in range(0, len(inputs[0]), _FORWARD_BATCH)
        ]
        answers = [torch.cat(p) for p in zip(*parts, strict=True)]
        return [
            y.permute(turn(own.perm, port.perm)) if y.dim() == len(port.perm) + 1 else y
            for y, port, own in zip(answers, mine.out_ports, other.out_ports, strict=True)
        ]

    @torch.no_grad()
    def _make_adam(self) -> Adam:
        params, units, decays = [], [], []
        biases = {m.bias: m for m in self.matrices.values() if m.bias}
        sources = list(dict.fromkeys(m.reads for m in biases.values()))
        found = self.student.run([x[:OBSERVED] for x in self.data.inputs], sources)
        power = {name: max(float(x.square().mean()), 1e-12) ** 0.5 for name, x in zip(sources, found, strict=True)}

        def row_norm(name: str) -> Tensor:
            """Root mean square of each row's weights that are not zero, at least a tenth of the layer's."""
            flat = self.matrices[name].rows(self.student.weights[name].detach())
            count = (flat != 0).sum(dim=1).clamp_min(1)
            rms = (flat.square().sum(dim=1) / count).sqrt()
            whole = (flat.square().sum() / count.sum()).sqrt().clamp_min(1e-6)
            return rms.clamp_min(0.1 * whole)

        for name, p in self.student.weights.items():
            if name in self.matrices:
                axes = self.matrices[name].row_axes
                unit = row_norm(name).reshape(*p.shape[:axes], *[1] * (p.dim() - axes))
            elif name in biases:
                of = biases[name]
                fan_in = of.rows(self.student.weights[of.name]).shape[1]
                unit = row_norm(of.name) * (fan_in**0.5 * power[of.reads] * _BIAS_UNIT)
                if p.dim() > 1:  # of several directions, for W and for R
                    unit = unit.reshape(len(p), -1).tile(p.numel() // len(unit))
            else:
                unit = p.detach().abs().clamp_min(0.1)
            params.append(p)
            units.append(unit.clone())
            decays.append(name in self.matrices)
        for form in self.forms.values():
            if form.log_scale.requires_grad:
                params.append(form.log_scale)
                units.append(torch.ones_like(form.log_scale))
                decays.append(False)
            if form.book is not None and form.book.requires_grad and not any(form.book is p for p in params):
                params.append(form.book)
                units.append(form.book.detach().abs().mean().expand_as(form.book).clone())
                decays.append(False)
        return Adam(params, units, decays, self.settings.weight_decay)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def run(self, progress: Progress, checkpoint: Path | None) -> Network:
        """All epochs that are left, then the finished network."""
        if checkpoint is not None and checkpoint.exists():
            self._load(checkpoint)
        while self.epoch < self.settings.epochs:
            loss = self._epoch()
            self.losses.append(loss)
            self.epoch += 1
            if checkpoint is not None:
                self._save(checkpoint)
            progress(f"fine-tune, loss {loss:.4g}", self.epoch, self.settings.epochs)
        return self._finish()

    def _epoch(self) -> float:
        s, count = self.settings, len(self.data.inputs[0])
        dice = torch.Generator().manual_seed((s.seed * 1_000_003 + self.epoch) % 2**63)
        order = torch.randperm(count, generator=dice)
        snapped = self.epoch >= round(s.float_share * s.epochs)
        if snapped and self.epoch == round(s.float_share * s.epochs) and self.epoch > 0:
            for name, form in self.forms.items():
                form.restart(self.student.weights[name])
        change = self._changes() if s.quantise and snapped else {}
        steps = math.ceil(count / s.batch)
        total = 0.0
        for i in range(steps):
            if s.gradual:
                self._zeros((self.epoch + i / steps) / s.epochs)
            index = order[i * s.batch : (i + 1) * s.batch].to(self.device)
            total += self._step(index, (self.epoch * steps + i) / (s.epochs * steps), snapped, change, dice) * len(
                index
            )
        if s.gradual:
            self._zeros((self.epoch + 1) / s.epochs)
        return total / count

    def _step(
        self, index: Tensor, done: float, snapped: bool, change: Mapping[str, Change], dice: torch.Generator
    ) -> float:
        s, data = self.settings, self.data
        inputs: list[Tensor] = [x[index] for x in data.inputs]
        labels = None if data.labels is None else data.labels[index]
        answers = None if data.answers is None else [a[index] for a in data.answers]
        if s.augments:
            inputs, labels = blend(inputs, labels, s, data.spread, dice)
            if self.teacher is not None:
                answers = self._answers(self.teacher, inputs, self.objective.targets)
        outputs = self.student.run(
            inputs, [t.student for t in self.objective.targets], self._constants(snapped), change
        )
        loss = self.objective(outputs, answers, labels)
        value = float(loss.detach())
        rate = self._rate(done)
        if not math.isfinite(value):
            raise TrainingError(
                f"fine-tuning, epoch {self.epoch + 1} of {s.epochs}: the loss is {value} at learning rate {rate:.3g}. "
                f"Set a smaller learning_rate (it was {s.learning_rate:g}), a larger batch, or look for extreme values "
                "in the data. The checkpoint of the last good epoch is kept."
            )
        loss.backward()  # type: ignore[no-untyped-call]
        self.adam.step(rate)
        for form in self.forms.values():
            form.repair()
        if self.average:
            # A short memory at first, so that the start does not weigh on the result.
            seen = self.epoch * math.ceil(len(data.inputs[0]) / s.batch) + 1
            torch._foreach_lerp_(
                self.average, [p.detach() for p in self.adam.parameters], 1.0 - min(s.average, seen / (seen + 10))
            )
        return value

    def _rate(self, done: float) -> float:
        """Learning rate when the share `done` of all steps is behind: a linear start, then half a cosine."""
        s = self.settings
        if done < s.warm_up:
            return s.learning_rate * (done / s.warm_up * 0.99 + 0.01)
        left = (done - s.warm_up) / max(1.0 - s.warm_up, 1e-9)
        return s.learning_rate * (0.5 + 0.5 * math.cos(math.pi * left))

    def _constants(self, snapped: bool) -> dict[str, Tensor]:
        """What the network runs with in place of its weights."""
        values: dict[str, Tensor] = {}
        int8 = self.settings.quantise and snapped
        for name, p in self.student.weights.items():
            form = self.forms.get(name)
            value = p if form is None else form(p, snapped)
            if int8 and name in self.matrices and (form is None or not form.snaps):
                value = to_int8(self.matrices[name].rows(value)).reshape(p.shape)
            if value is not p:
                values[name] = value
        if int8:
            values.update(quantised_constants(self.student))
        return values

    def _changes(self) -> dict[str, Change]:
        """Fake quantisation of the activations, at the ranges they have now."""
        with torch.inference_mode():
            quants = self._observe(self._constants(True))
        return fake_quants(self.network.graph, quants)

    def _observe(self, constants: Mapping[str, Tensor]) -> dict[str, Quant]:
        sample = [x[:OBSERVED] for x in self.data.inputs]
        return observe(self.student, sample, constants, self.given, self.network.wide)

    def _zeros(self, done: float) -> None:
        """Masks of a gradual run: the share of zeros rises with the cube, as in Zhu and Gupta 2017."""
        share = 1.0 - (1.0 - min(1.0, done / self.settings.gradual)) ** 3
        for name, form in self.forms.items():
            form.thin(self.student.weights[name], share)

    # -- after the loop ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _finish(self) -> Network:
        if self.average:
            for p, mean in zip(self.adam.parameters, self.average, strict=True):
                p.copy_(mean)
            for form in self.forms.values():
                form.repair()
        pins: dict[str, tuple[float, ...]] = {}
        finished: dict[str, WeightForm] = {}
        values = {name: p.detach().cpu().numpy() for name, p in self.student.weights.items()}
        for name, form in self.forms.items():
            done = form.finished(values[name])
            values[name], finished[name] = done.values, done.form
            if done.scale is not None:
                pins[name] = done.scale
        if self.settings.quantise:
            for name in [n for n in self.matrices if n not in pins]:
                of, shape = self.matrices[name], values[name].shape
                rows = values[name] if of.row_axes == 1 else values[name].reshape(-1, shape[-1])
                eight = FormModule(finished.get(name, WeightForm()), rows, None, learn_entries=False)
                eight.snaps = True
                done = eight.finished(rows)
                assert done.scale is not None
                values[name] = done.values.reshape(shape)
                if of.row_axes == 1:  # others have the scales that their values ask for
                    pins[name] = done.scale
        graph = self.student.to_graph(values)
        pinned = [replace(graph.tensors[name], quant=Quant(scale, 0, 0)) for name, scale in pins.items()]
        if self.settings.quantise:
            with torch.inference_mode():
                fixed = {n: torch.from_numpy(v).to(self.device) for n, v in values.items()}
                quants = self._observe(fixed | quantised_constants(self.student))
            pinned += [replace(graph.tensors[n], quant=q) for n, q in quants.items()]
        by_node = {node.name: finished[node.inputs[1]] for node in layers(graph) if node.inputs[1] in finished}
        return replace(self.network, graph=graph.with_(tensors=pinned)).with_forms(by_node)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _save(self, path: Path) -> None:
        save(
            path,
            {
                "run": self._run_id,
                "epoch": self.epoch,
                "losses": self.losses,
                "parameters": [p.detach() for p in self.adam.parameters],
                "adam": self.adam.state(),
                "average": self.average,
                "forms": {name: form.state_dict() for name, form in self.forms.items()},
            },
        )

    @torch.no_grad()
    def _load(self, path: Path) -> None:
        state = load(path, self._run_id, self.device)
        for p, saved in zip(self.adam.parameters, state["parameters"], strict=True):
            p.copy_(saved)
        for mean, saved in zip(self.average, state["average"], strict=True):
            mean.copy_(saved)
        for name, form in self.forms.items():
            form.load_state_dict(state["forms"][name])
        self.adam.restore(state["adam"])
        self.epoch, self.losses = state["epoch"], state["losses"]
