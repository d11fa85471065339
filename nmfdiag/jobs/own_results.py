"""Results on any network that a command opens, in the cache under a hash of all that they follow from.

That is its weights, the code that runs them, all its samples with their labels, the options, and the versions that compute. Code of the user's own has no
such hash: results on it belong into a cache that is not kept.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.requests import CHECK, CURVE, LABELS, OwnRequest, key_of, stamp
from nmfdiag.jobs.weights_digest import weights_digest
from nmfdiag.measures.compression import compression_curves
from nmfdiag.measures.compute_profile import ComputeCurves
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.preflight.network_check import Preflight, preflight
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.measures.suspects.suspects import suspects
from nmfdiag.measures.training_set import check_train_size
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.networks.wrappers import unwrapped
from nmfdiag.provenance import package_version, processor_model

NOT_OF_A_CURVE = {"layers", "methods", "per_class", "n_draws", "seed", "ranks", "by_class", "tail_dtype"}
"""Options of a profile that say which curves it has; those of one curve are in its request."""
Result = TypeVar("Result", CompressionCurve, Suspects, Preflight)


class OwnResults:
    """Curves, label scores and pre-flight checks of networks: looked up in a cache, or computed and put there.

    Attributes:
        n_reused: Number of results that came from the cache.
        n_computed: Number of results computed and cached.
    """

    def __init__(self, cache: CurveCache, code_id: str):
        """Look results up in this cache.

        Args:
            cache: The cache.
            code_id: Architecture with its options, or SHA-256 of the exported file; of a network of the zoo, the hash of its files.
        """
        self.cache, self.code_id = cache, code_id
        self.n_reused = self.n_computed = 0

    def curves(self, model: nn.Module, inputs: Tensor, labels: Tensor, options: Mapping[str, Any]) -> ComputeCurves:
        """Return what computes the curves of a layer of a network on some of its samples, as :func:`compression_curves` does.

        Args:
            model: The network.
            inputs: All its samples (n, ...).
            labels: Their given labels (n,).
            options: Those of :func:`nmfdiag.layer_profile`.
        """
        digest = self.digest(model, inputs, labels)
        network_options = {name: repr(value) for name, value in options.items() if name not in NOT_OF_A_CURVE}

        def compute(
            network: SplitNetwork, layer: str, batches: Sequence[tuple[Tensor, Tensor]], **curve_options: Any
        ) -> list[CompressionCurve | NmfdiagError]:
            answers: list[CompressionCurve | NmfdiagError | None] = []
            requests = []
            for batch_inputs, batch_labels in batches:
                batch = _tensor_digest(batch_inputs), _tensor_digest(batch_labels)
                settings = [repr(network.layer(layer)), batch, curve_options, network_options]
                requests.append(OwnRequest(CURVE, json.dumps(settings, sort_keys=True)))
                answers.append(self.cache.get(key_of(requests[-1], digest)))
            missing = [i for i, answer in enumerate(answers) if answer is None]
            self.n_reused += len(answers) - len(missing)
            if missing:
                computed_curves = compression_curves(network, layer, [batches[i] for i in missing], **curve_options)
                for i, curve in zip(missing, computed_curves, strict=True):
                    answers[i] = curve if isinstance(curve, NmfdiagError) else self._put(requests[i], digest, curve)
            return [answer for answer in answers if answer is not None]

        return compute

    def suspects(self, model: nn.Module, inputs: Tensor, labels: Tensor, **options: Any) -> Suspects:
        """Return the suspects, as :func:`nmfdiag.suspects` does; those that a training's history takes part in are computed."""
        on_progress, device = options.pop("on_progress", None), options.pop("device", None)
        train_size = check_train_size(options.pop("train_size", None), len(inputs))  # it changes no number

        def compute() -> Suspects:
            return suspects(model, inputs, labels, on_progress=on_progress, device=device, **options)

        if options.get("history") is not None:
            return replace(compute(), train_size=train_size)
        stored = self._result(LABELS, self.digest(model, inputs, labels), options, compute)
        return replace(stored, train_size=train_size)

    def preflight(self, model: nn.Module, inputs: Tensor, labels: Tensor, **options: Any) -> Preflight:
        """Return the pre-flight check, as :func:`nmfdiag.measures.preflight.network_check.preflight` does; that of this machine."""
        samples, normalizations = options["alternatives"] or (inputs, {})
        device = str(inputs.device)
        settings = {
            **options,
            "alternatives": [_tensor_digest(samples), repr(dict(normalizations))],
            "machine": [device, processor_model(device), torch.get_num_threads()],
        }
        return self._result(
            CHECK,
            self.digest(model, inputs, labels),
            settings,
            lambda: preflight(model, inputs, labels, **options),
        )

    def digest(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> str:
        """Return the hash of a network's weights and code, and of its samples (n, ...) with their labels (n,)."""
        network = unwrapped(model)
        forms = {
            name: f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else str(value)
            for name, value in network.state_dict().items()
        }
        parts = [
            self.code_id,
            package_version("torchvision"),
            type(network).__module__,
            type(network).__qualname__,
            str(network),
            forms,
            weights_digest(network),
            _tensor_digest(inputs),
            _tensor_digest(labels),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _result(self, kind: str, digest: str, options: Mapping[str, Any], compute: Callable[[], Result]) -> Result:
        request = OwnRequest(kind, json.dumps(options, sort_keys=True))
        stored: Result | None = self.cache.get(key_of(request, digest))
        if stored is not None:
            self.n_reused += 1
            return stored
        return self._put(request, digest, compute())

    def _put(self, request: OwnRequest, digest: str, result: Result) -> Result:
        result = replace(result, provenance=result.provenance | stamp(request, digest))
        self.cache.put(key_of(request, digest), result)
        self.n_computed += 1
        return result


def _tensor_digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's shape, type and values."""
    values = tensor.detach().cpu().contiguous()
    header = f"{tuple(values.shape)} {values.dtype} "
    return hashlib.sha256(header.encode() + values.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()
