"""Where a trained model lies: models/MODEL/SESSION/ALGORITHM.joblib and, written last, ALGORITHM.json: only what has it is whole."""
import json
import os

from doctor.trouble import CannotTrain

KEPT = ("project", "model", "sessionId", "modelId", "analysisId", "mlTaskId", "algorithm", "task", "target", "input")


class Keeper:
    def __init__(self, payload):
        self._payload = payload
        self.folder = os.path.join("models", payload["model"], payload["sessionId"])
        self.model_path = os.path.join(self.folder, payload["algorithm"] + ".joblib")
        self.json_path = os.path.join(self.folder, payload["algorithm"] + ".json")
        self.has_model = False
        try:    # before the work: an hour's training is not to be lost for a folder
            os.makedirs(self.folder, 0o755, exist_ok=True)
            probe = os.path.join(self.folder, ".%s.probe" % payload["algorithm"])
            with open(probe, "wb"):
                pass
            os.remove(probe)
        except OSError as e:
            raise CannotTrain("unable to write into %s/%s: %s (the user of this process is %s)"
                              % (payload["dir"], self.folder, e.strerror, os.geteuid())) from None

    def write_model(self, write):
        """write(file) puts the model there."""
        self._replace(self.model_path, write)
        self.has_model = True

    def finish(self, result):
        """Adds what every result has, and says to all that the model is there."""
        for name in KEPT:
            if self._payload.get(name) is not None:
                result.setdefault(name, self._payload[name])
        if self.has_model:
            result["file"] = self.model_path
            result["fileBytes"] = os.stat(self.model_path).st_size
        text = json.dumps(result, allow_nan=False, ensure_ascii=False).encode()
        self._replace(self.json_path, lambda target: target.write(text))

    def _replace(self, path, write):
        aside = "%s/.%s.new" % os.path.split(path)
        try:
            with open(aside, "wb") as target:
                write(target)
                target.flush()
                os.fsync(target.fileno())
            os.chmod(aside, 0o644)
            os.replace(aside, path)
        except OSError as e:
            raise CannotTrain("unable to write %s: %s" % (path, e.strerror or e)) from None
        finally:
            try:
                os.remove(aside)
            except FileNotFoundError:
                pass
