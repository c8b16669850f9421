"""The benchmarks of xgrad, run by `ci/bench`: contestants take turns, and ratios count."""
