"""The names of what `evaluate` returns."""


class ResultNames:
    """Mixin for a `keras.Model`: `metrics_names` is what `evaluate` returns, in its order.

    The names are kept from the last results. To ask for results anew waits for all workers of a
    strategy, and one of them may ask alone.
    """

    result_names = ()  # none before there were data

    def get_metrics_result(self):
        results = super().get_metrics_result()
        listed = [m.name for metric in self.metrics for m in getattr(metric, "metrics", [metric])]
        first = [name for name in listed if name in results]
        self.result_names = (*first, *sorted({*results} - {*first}))
        return results

    @property
    def metrics_names(self):
        return list(self.result_names) or super().metrics_names
