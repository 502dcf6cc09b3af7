"""Clips of several recordings, and what ties a clip to its camera's chain. Clips that were chosen before stay as they are."""

from django.db import migrations, models


def _key() -> "models.BigAutoField[int, int]":
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    """Adds a table and columns only."""

    dependencies = [("home", "0004_uploads_and_plugins")]

    operations = [
        migrations.AddField("answerclip", "chain_salt", models.BinaryField(null=True)),
        migrations.AddField("answerclip", "chain", models.JSONField(null=True)),
        migrations.CreateModel(
            "AnswerPiece",
            [
                ("id", _key()),
                ("position", models.IntegerField()),
                ("source_path", models.TextField()),
                ("identity", models.JSONField()),
                ("offset", models.FloatField()),
                ("original", models.TextField(default="")),
                ("original_sha256", models.CharField(default="", max_length=64)),
                ("clip", models.ForeignKey("home.answerclip", models.CASCADE, related_name="pieces")),
                ("recording", models.ForeignKey("home.recording", models.SET_NULL, null=True)),
            ],
            options={"ordering": ["position"]},
        ),
    ]
