"""Runs and studies as folders of plain files: JSON and safetensors, nothing that executes."""
