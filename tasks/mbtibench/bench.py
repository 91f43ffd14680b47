"""What tables know of MBTIBench."""

from harness_ext.results.benches import Bench

BENCH = Bench(
    headline="s_rmse",
    printed={"s_rmse": "S-RMSE"},
    parts={"ei": "E/I", "sn": "S/N", "tf": "T/F", "jp": "J/P"},
    usual={"gold": "em", "system_role": "text", "digits_single_token": True},
    soft_labels="s_rmse",
)
