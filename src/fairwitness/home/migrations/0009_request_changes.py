"""Expand: a request that lives longer, and what came of it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0008_deletions"),
    ]

    operations = [
        migrations.AddField(
            model_name="request",
            name="extended_at",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="request",
            name="extension",
            field=models.CharField(db_default="", default="", max_length=300),
        ),
        migrations.AddField(
            model_name="request",
            name="outcome",
            field=models.CharField(db_default="", default="", max_length=24),
        ),
        migrations.AddField(
            model_name="request",
            name="outcome_words",
            field=models.CharField(db_default="", default="", max_length=300),
        ),
        migrations.AddField(
            model_name="request",
            name="resolved_at",
            field=models.BigIntegerField(null=True),
        ),
    ]
