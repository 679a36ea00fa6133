"""Event files of TensorBoard, read without TensorBoard or TensorFlow."""
