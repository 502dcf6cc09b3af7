"""Contract: every entry says which agency it names, or that it names none. Refuses while one does not."""

from django.db import migrations, models

from fairwitness.kit.schema import demand


class Migration(migrations.Migration):
    dependencies = [("hub", "0002_pendingentry_agency")]

    operations = [
        demand("hub", "pendingentry", agency=None),
        migrations.AlterField("pendingentry", "agency", models.CharField(max_length=64, default="", db_index=True)),
    ]
