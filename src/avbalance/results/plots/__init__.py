"""Which kinds of figures are there? By name: `name: module:Class`, one file each."""

REGISTRY = {
    "angles": "angles:Angles",
    "balance": "balance:Balance",
    "balance_accuracy": "balance_accuracy:BalanceAccuracy",
    "blend": "blend:Blend",
    "classes": "classes:Classes",
    "confusion": "confusion:Confusion",
    "curves": "curves:Curves",
    "depth": "depth:Depth",
    "errors": "errors:Errors",
    "gains": "gains:Gains",
    "leaderboard": "leaderboard:Leaderboard",
    "ranks": "ranks:Ranks",
    "samples": "samples:Samples",
    "sensitivity": "sensitivity:Sensitivity",
}
