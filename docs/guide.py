"""The pages of this folder as one page of the built documentation (`make docs`).

.. include:: glossary.md

.. include:: pipeline.md

.. include:: serving.md

.. include:: house.md

.. include:: model.md

.. include:: own-data.md

.. include:: tuning.md

.. include:: drift.md

.. include:: reproducibility.md

.. include:: performance.md

.. include:: scaling.md
"""
