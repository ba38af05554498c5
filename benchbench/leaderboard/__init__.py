"""The leaderboard: specs that fix what is measured, submissions that hold predictions, and the site made from them.

* `spec`: the frozen question: tasks, protocols, test images, labels where they may be published.
* `answers`: whether a run answers a spec.
* `bundle`: what a submission holds, and how a run becomes one.
* `guard`: reading files that a stranger wrote.
* `validate`: whether a submission answers its spec.
* `rescore`: every number from the predictions, with the statistics of the report.
* `release`: tables that never change again.
* `site`: pages, JSON and CSV.
"""
