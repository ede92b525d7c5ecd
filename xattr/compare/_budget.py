"""How much a comparison may compute: hyperparameters of methods, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

BudgetName = Literal["quick", "paper"]


@dataclass(frozen=True)
class Budget:
    """A budget.

    Attributes:
      name: how it is asked for.
      methods: hyperparameters of methods, where they are not the method's own.
      num_reexplained: photographs that metrics see which explain again; all when None.
    """

    name: BudgetName
    methods: Mapping[str, Mapping[str, Any]]
    num_reexplained: int | None

    def options(
        self, methods: Mapping[str, Any], given: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Hyperparameters of some methods; what is given goes before the budget's."""
        named = {name: self.methods[name] for name in methods if name in self.methods}
        return {
            name: {**named.get(name, {}), **given.get(name, {})}
            for name in {**named, **given}
        }


BUDGETS: dict[str, Budget] = {
    budget.name: budget
    for budget in (
        # At most 128 evaluations of a perturbation or a path method.
        Budget(
            "quick",
            {
                "expected_gradients": {"num_samples": 128},
                "guided_integrated_gradients": {"num_steps": 128},
                "xrai": {"num_steps": 64},
                "score_cam": {"num_channels": 128},
                "ss_cam": {"num_samples": 1, "num_channels": 128},
                "is_cam": {"num_steps": 2, "num_channels": 64},
                "occlusion": {"stride": 20},
                "rise": {"num_masks": 128},
                "shapley_sampling": {"num_permutations": 2},
                "lime": {"num_samples": 128},
                "kernel_shap": {"num_samples": 128},
                "sobol": {"grid": 4, "num_designs": 4},
                "hsic": {"num_samples": 128},
                "meaningful_perturbation": {"num_steps": 128},
                "extremal_perturbation": {"num_steps": 128},
            },
            num_reexplained=8,
        ),
        # The papers' own, also where the table of methods has less.
        Budget(
            "paper",
            {"ss_cam": {"num_samples": 35}, "is_cam": {"num_steps": 10}},
            num_reexplained=None,
        ),
    )
}
