"""Training: recipes, batches, the loop, recognition pretraining, memory moments, losses.

Nothing is imported here, so that `import engine` stays light: Lightning Fabric and torchmetrics are
needed only by who trains or evaluates.
"""

from __future__ import annotations
