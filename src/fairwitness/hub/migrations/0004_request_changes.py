"""Expand: where in the log a request's extension and its outcome stand."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hub", "0003_pendingentry_agency_known")]

    operations = [
        migrations.AddField("request", "extended_index", models.BigIntegerField(null=True)),
        migrations.AddField("request", "resolved_index", models.BigIntegerField(null=True)),
    ]
