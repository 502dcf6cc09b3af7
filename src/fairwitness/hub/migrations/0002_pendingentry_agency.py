"""Expand: room for the agency that an entry names. Older code inserts without it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hub", "0001_initial")]

    operations = [
        migrations.AddField("pendingentry", "agency", models.CharField(max_length=64, null=True, db_index=True)),
    ]
