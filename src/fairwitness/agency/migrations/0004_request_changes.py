"""Expand: drafts come back with a note, are written anew; public requests live longer and get their outcome."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agency", "0003_annotations"),
    ]

    operations = [
        migrations.AddField(
            model_name="request",
            name="replaces",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="replaced_by", to="agency.request"
            ),
        ),
        migrations.AddField(
            model_name="request",
            name="return_note",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AddField(
            model_name="request",
            name="returned_at",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="request",
            name="returned_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agency.officer"
            ),
        ),
        migrations.CreateModel(
            name="RequestChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=24)),
                ("state", models.CharField(max_length=10)),
                ("payload", models.BinaryField()),
                ("draft_signature", models.BinaryField(max_length=64)),
                ("envelope", models.BinaryField(null=True)),
                ("at", models.BigIntegerField()),
                ("log_index", models.BigIntegerField(null=True)),
                ("proof", models.BinaryField(null=True)),
                ("refusal", models.TextField(blank=True)),
                (
                    "approved_by",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agency.officer"
                    ),
                ),
                (
                    "drafted_by",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agency.officer"),
                ),
                (
                    "request",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="changes", to="agency.request"),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
    ]
