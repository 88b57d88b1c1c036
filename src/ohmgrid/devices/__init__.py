"""What stands at a crosspoint: classes of devices, their laws, cells of several, presets."""
