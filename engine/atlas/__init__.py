"""The atlas: one walk over a dataset, and everything that pages and analyses read of it afterwards.

    build(segmenter, card, dataset, folder)       walks, resumes, merges
    atlas = open_atlas(folder)                    reads: statistics, usage, patches, reservoir, live prototypes

Every statistic merges: two halves merged are the whole, whatever the order of the machines that walked them.
"""

from __future__ import annotations

from engine.atlas.reading import Atlas, open_atlas

__all__ = ["Atlas", "open_atlas"]
