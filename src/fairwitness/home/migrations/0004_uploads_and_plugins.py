"""What a browser brings in, cameras without a place yet, pairings, and plug-ins."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0003_pictures"),
    ]

    operations = [
        migrations.CreateModel(
            name="Pairing",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code_hash", models.BinaryField(unique=True)),
                ("created_at", models.BigIntegerField()),
                ("expires_at", models.BigIntegerField()),
                ("used_at", models.BigIntegerField(null=True)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Upload",
            fields=[
                ("id", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("mark", models.CharField(default="", max_length=100)),
                ("size", models.BigIntegerField()),
                ("offset", models.BigIntegerField(default=0)),
                ("state", models.CharField(default="receiving", max_length=12)),
                ("problem", models.CharField(default="", max_length=64)),
                ("sha256", models.CharField(db_index=True, default="", max_length=64)),
                ("lease", models.CharField(default="", max_length=32)),
                ("lease_at", models.FloatField(default=0.0)),
                ("created_at", models.BigIntegerField()),
                ("touched_at", models.BigIntegerField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.AddField(
            model_name="source",
            name="kind",
            field=models.CharField(choices=[("folder", "folder"), ("upload", "upload")], default="folder", max_length=8),
        ),
        migrations.AlterField(
            model_name="camera",
            name="lat",
            field=models.FloatField(null=True),
        ),
        migrations.AlterField(
            model_name="camera",
            name="lon",
            field=models.FloatField(null=True),
        ),
        migrations.AlterField(
            model_name="recorder",
            name="kind",
            field=models.CharField(
                choices=[("rtsp", "rtsp"), ("frigate", "frigate"), ("onvif", "onvif"), ("plugin", "plugin")], max_length=16
            ),
        ),
        migrations.AddField(
            model_name="upload",
            name="recording",
            field=models.OneToOneField(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="upload", to="home.recording"
            ),
        ),
        migrations.AddField(
            model_name="upload",
            name="source",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="uploads", to="home.source"),
        ),
    ]
